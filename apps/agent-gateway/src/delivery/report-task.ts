import {
  agentGatewayEvents,
  allTasks,
  type Code,
  faultText,
  type Outcome,
  type TaskContract,
  taskKey,
  type TaskReport,
} from '@chrysalis/contracts';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import { find, markReported } from '../sql/pending-tasks.ts';

export type Taken = { readonly ok: true } | { readonly ok: false; readonly code: Code; readonly message: string };

const contracts = new Map<string, TaskContract>(Object.values(allTasks).map((c) => [c.kind, c as TaskContract]));

/**
 * A host agent's report becomes an event, once a task key, whoever gets it and how often. Only the host that was given the task may
 * report it. What was never dispatched, or ended long ago, is acknowledged and goes no further: the agent may forget it.
 */
export const takeReport = (service: ServiceContext, hostId: string, report: TaskReport): Promise<Taken> =>
  service.store.transaction(
    async (tx): Promise<Taken> => {
      const key = taskKey(report);
      const known = await find(tx, key);
      if (!known || known.state === 'reported') return { ok: true };
      if (known.hostId !== hostId) return { ok: false, code: 'agent.foreign_task', message: `${key} was not given to ${hostId}` };
      const { dispatch, meta } = known;
      await failpoint('gateway:report:before', { kind: dispatch.kind, task: dispatch.task });
      const data: TaskReport = {
        ...report,
        token: dispatch.token,
        executor: dispatch.executor,
        outcome: believable(dispatch.kind, report.outcome),
      };
      const event = {
        id: service.newId(),
        type: agentGatewayEvents.taskReported.type,
        data,
        meta: { ...meta, at: service.clock(), actor: `host:${hostId}` },
      };
      await service.store.append({ stream: `task-${dispatch.workflowId}`, expected: 'any', events: [event] }, tx);
      await markReported(tx, key);
      return { ok: true };
    },
    { attempts: 5 },
  );

/** What comes from a host, and through it from a guest, is taken only in the shape that the task promises. */
const believable = (kind: string, outcome: Outcome): Outcome => {
  if (!outcome.ok) return outcome;
  const output = contracts.get(kind)?.output.safeParse(outcome.output);
  if (output?.success) return { ok: true, output: output.data as Record<string, unknown> };
  const message = output ? faultText(output.error) : 'no such task';
  return { ok: false, cause: { code: 'host.output_invalid', message, retriable: false } };
};
