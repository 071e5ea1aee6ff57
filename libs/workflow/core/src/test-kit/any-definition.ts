import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import fc from 'fast-check';

const group = { mode: 'group', group: 'provisioning' } as const;
const bid = { mode: 'bid', group: 'agent-gateway', windowMs: 20, award: 'spread', beginWithinMs: 40, offers: 2 } as const;
const retry = fc.option(fc.record({ attempts: fc.integer({ min: 1, max: 3 }), backoffMs: fc.constantFrom(0, 10, 500) }), {
  nil: undefined,
});
/** True once in `n` times. */
const seldom = (n: number): fc.Arbitrary<boolean> => fc.integer({ min: 1, max: n }).map((x) => x === 1);

const withRetry = <T extends object>(task: T, policy: { attempts: number; backoffMs: number } | undefined) =>
  policy ? { ...task, retry: policy } : task;

const shape = (index: number) =>
  fc.record({
    before: index === 0 ? fc.constant<number[]>([]) : fc.uniqueArray(fc.integer({ min: 0, max: index - 1 }), { maxLength: 3 }),
    byReference: fc.boolean(),
    undo: fc.boolean(),
    skipped: seldom(10),
    decisive: seldom(10),
    each: fc.option(fc.record({ concurrency: fc.integer({ min: 1, max: 3 }), from: fc.constantFrom('params', 'task') }), {
      freq: 2,
      nil: undefined,
    }),
    how: fc.constantFrom<keyof typeof ways>('group', 'group', 'bid', 'bid-otherwise', 'hedge', 'heartbeat'),
    priority: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
    deadlineMs: fc.constantFrom(50, 1_000, 20_000),
    retry,
    undoRetry: retry,
  });

/** How a task is given out and followed. */
const ways = {
  group: { route: group },
  bid: { route: bid },
  'bid-otherwise': { route: { ...bid, otherwise: 'host:h0' } },
  hedge: { route: group, hedge: { afterMs: 30 }, idempotent: true },
  heartbeat: { route: group, heartbeatMs: 100 },
} as const;

const forEachOf = (each: { concurrency: number; from: string } | undefined, before: string | undefined) => {
  if (!each) return {};
  const items = each.from === 'task' && before ? `\${tasks.${before}.output.list}` : '${params.list}';
  return { forEach: { items, concurrency: each.concurrency } };
};

/** Any task that depends on earlier ones, by `after`, by a reference, or as the items that an earlier one gave. */
const anyTask = (index: number): fc.Arbitrary<TaskDefinition> =>
  shape(index).map((t): TaskDefinition => {
    const names = t.before.map((n) => `t${n}`);
    const input = { ...(t.byReference ? { from: names.map((n) => `\${tasks.${n}.output.v}`) } : {}), ...(t.each ? { it: '${item}' } : {}) };
    const undo = { kind: 'test.undo', input: { v: `\${tasks.t${index}.output.v}` }, deadlineMs: 500, route: group };
    return {
      name: `t${index}`,
      kind: 'test.do',
      summary: 'x',
      input,
      ...(t.byReference ? {} : { after: names }),
      ...(t.skipped ? { when: t.each ? 'item == "b"' : 'params.never' } : {}),
      ...(t.decisive && !t.each && t.how !== 'hedge' ? { pointOfNoReturn: true } : {}),
      ...(t.retry ? { retry: t.retry } : {}),
      ...forEachOf(t.each, names[0]),
      ...ways[t.how],
      ...(t.priority === undefined ? {} : { priority: t.priority }),
      deadlineMs: t.deadlineMs,
      ...(t.undo ? { compensation: withRetry(undo, t.undoRetry) } : {}),
    };
  });

/** Any DAG of 1 to `max` tasks, with items, bids, hedges, heartbeats and points of no return. Run it with `anyParams`. */
export const anyDefinition = (max: number): fc.Arbitrary<WorkflowDefinition> =>
  fc
    .integer({ min: Math.min(3, max), max })
    .chain((n) => fc.tuple(...Array.from({ length: n }, (_, i) => anyTask(i))))
    .map((tasks) => ({
      name: 'any',
      version: 1,
      summary: 'x',
      params: { never: { type: 'boolean' }, list: { type: 'array' } },
      tasks,
      deadlineMs: 5_000,
    }));
export const anyParams = { never: false, list: ['a', 'b', 'c', 'd', 'e'] };
