import { executorAnnounced, type TaskGroup } from '@chrysalis/contracts';
import type { ServiceContext } from '../context.ts';

/**
 * Tells which kinds of tasks this service's group runs, where that is not what it told last. Of two instances that start together one
 * tells it: the other finds the version taken, and that is as good.
 */
export const announce = async (service: ServiceContext, group: TaskGroup, executes: readonly string[]): Promise<void> => {
  const contract = executorAnnounced(group);
  const stream = `executor-${group}`;
  const kinds = [...executes].sort();
  const told = await service.store.read(stream);
  const last = told.at(-1)?.data as { kinds?: readonly string[] } | undefined;
  if (JSON.stringify(last?.kinds) === JSON.stringify(kinds)) return;
  const at = service.clock();
  const data = { executor: `group:${group}`, group, kinds, labels: {}, at };
  const meta = { at, correlationId: service.newId(), actor: `service:${group}`, tenant: 'default' };
  await service.store.append({ stream, expected: told.length, events: [{ id: service.newId(), type: contract.type, data, meta }] });
};
