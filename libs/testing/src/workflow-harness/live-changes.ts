import type { Change, Route, TaskDefinition } from '@chrysalis/contracts';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';

const group: Route = { mode: 'group', group: 'provisioning' };
const direct: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:h9' };

/** Any change, of any task or item that there is: whether it may be made is for the engine to say. */
export const anyChange = (ledger: Ledger, random: Random): Change => {
  const task = random.pick(ledger.names());
  const own = task.split('.')[0]!;
  const other = random.pick([...ledger.tasks.keys()]);
  const stuck = ledger.troubles.find((t) => t.task !== undefined)?.task;
  if (stuck !== undefined && random.chance(0.5)) return repair(stuck, random);
  const fresh = `x${random.upTo(9)}`;
  switch (random.upTo(11)) {
    case 0:
      return { type: 'pause' };
    case 1:
      return { type: 'resume' };
    case 2:
      return { type: 'add-task', task: added(fresh, other, random), before: random.chance(0.5) ? [own] : [] };
    case 3:
      return { type: 'duplicate-task', task: own, as: `y${random.upTo(9)}` };
    case 4:
      return { type: 'replace-task', task: own, with: { ...ledger.tasks.get(own)!, input: {}, priority: random.upTo(9) } };
    case 5:
      return random.chance(0.5) ? { type: 'rewire', task: own, after: [other] } : { type: 'rewire', task: own, input: { x: 1 } };
    case 6:
      return { type: 'reassign', task, route: random.chance(0.5) ? direct : group };
    case 7:
      return { type: 'set-limits', ...(random.chance(0.2) ? { deadlineMs: 1_000 * (1 + random.upTo(60)) } : limits(own, random)) };
    case 8:
      return { type: 'skip-task', task };
    case 9:
      return { type: 'mark-done', task, output: {} };
    default:
      return { type: 'retry-from', task };
  }
};

const repair = (task: string, random: Random): Change => {
  if (random.chance(0.6)) return { type: 'retry-from', task };
  return random.chance(0.5) ? { type: 'mark-done', task, output: {} } : { type: 'skip-task', task };
};

const added = (name: string, after: string, random: Random): TaskDefinition => ({
  name,
  kind: 'harness.added',
  summary: 'added while it ran',
  input: {},
  after: [after],
  deadlineMs: 1_000,
  route: group,
  ...(random.chance(0.7) ? { compensation: { kind: 'harness.undo-added', input: {}, deadlineMs: 1_000, route: group } } : {}),
});

const limits = (task: string, random: Random): Omit<Extract<Change, { type: 'set-limits' }>, 'type'> => {
  switch (random.upTo(2)) {
    case 0:
      return { task, deadlineMs: 200 + random.upTo(5_000) };
    case 1:
      return { task, concurrency: 1 + random.upTo(4) };
    default:
      return { task, priority: random.upTo(9), retry: { attempts: 1 + random.upTo(3), backoffMs: 20 } };
  }
};
