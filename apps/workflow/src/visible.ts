import { isReservedWorkflowId } from '@chrysalis/contracts';
import { ProblemError, reaches, type ApiRequest } from '@chrysalis/service-kit';
import type { Entry } from './cache.ts';
import type { Engine } from './engine.ts';
import { nothing } from './plan.ts';

/** Of what is another tenant's one sees not even that it is there. */
export const visible = (id: string, entry: Entry, request: ApiRequest): Entry => {
  if (entry.state.status !== 'none' && reaches(request.caller, entry.tenant)) return entry;
  throw new ProblemError({
    status: 404,
    code: 'workflow.unknown',
    title: 'No such workflow',
    detail: 'There is no such workflow; look for it in the list of workflows.',
    workflowId: id,
  });
};

export const loadVisible = async (engine: Engine, id: string, request: ApiRequest): Promise<Entry> =>
  visible(id, isReservedWorkflowId(id) ? nothing : await engine.load(id), request);
