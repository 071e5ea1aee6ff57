import { isReservedWorkflowId } from '@chrysalis/contracts';
import { ProblemError, type ApiRequest } from '@chrysalis/service-kit';
import type { Entry } from './cache.ts';
import type { Engine } from './engine.ts';
import { nothing } from './plan.ts';

/** An administrator sees every tenant's; others their own, and of what is not theirs not even that it is there. */
export const tenantOf = ({ caller }: ApiRequest): string | undefined => (caller.roles.includes('admin') ? undefined : caller.tenant);

export const visible = (id: string, entry: Entry, request: ApiRequest): Entry => {
  const tenant = tenantOf(request);
  if (entry.state.status !== 'none' && (tenant === undefined || tenant === entry.tenant)) return entry;
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
