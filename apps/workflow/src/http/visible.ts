import { isReservedWorkflowId } from '@chrysalis/contracts';
import { ProblemError, reaches, type ApiRequest } from '@chrysalis/service-kit';
import type { Entry } from '../engine/cache.ts';
import type { Engine } from '../engine/engine.ts';
import { nothing } from '../engine/plan.ts';

/** Of what is another tenant's one sees not even that it is there. */
export const visible = (id: string, entry: Entry, request: ApiRequest): Entry => {
  if (entry.state.status !== 'none' && reaches(request.caller, entry.tenant)) return entry;
  throw ProblemError.of({ code: 'workflow.unknown', workflowId: id });
};

export const loadVisible = async (engine: Engine, id: string, request: ApiRequest): Promise<Entry> =>
  visible(id, isReservedWorkflowId(id) ? nothing : await engine.load(id), request);
