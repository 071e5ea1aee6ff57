import type { Route, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import type { HarnessOptions } from './types.ts';

const group: Route = { mode: 'group', group: 'provisioning' };
const byWhoDidIt: Route = { mode: 'direct', group: 'agent-gateway', executor: '${executor}' };
const bid = { mode: 'bid', group: 'agent-gateway', windowMs: 200, award: 'lowest-cost', beginWithinMs: 400, offers: 3 } as const;
type More = Partial<TaskDefinition> & { readonly undo?: boolean };

const task = (name: string, after: string[] = [], { undo = true, ...more }: More = {}): TaskDefinition => {
  // What a bidder did is undone where it was done; for a group one member undoes it for all.
  const route = more.route?.mode === 'bid' ? byWhoDidIt : group;
  const compensation = { kind: 'test.undo', input: { of: name }, deadlineMs: 1_000, retry: { attempts: 2, backoffMs: 50 }, route };
  return {
    name,
    kind: 'test.do',
    summary: name,
    input: {},
    after,
    deadlineMs: 1_000,
    route: group,
    ...(undo ? { compensation } : {}),
    ...more,
  };
};
const definition = (name: string, tasks: TaskDefinition[]): WorkflowDefinition => ({
  name,
  version: 1,
  summary: 'a sample',
  params: { host: { type: 'string' }, vms: { type: 'array' } },
  tasks,
  deadlineMs: 60_000,
});

/** As a move is: a lock, two branches, a point of no return, and forward only from there. */
const move = definition('move', [
  task('lock'),
  task('hold', ['lock'], { retry: { attempts: 3, backoffMs: 100 }, input: { host: '${params.host}' } }),
  task('prepare-guest', ['lock'], { undo: false }),
  task('unplug', ['prepare-guest']),
  task('target', [], { input: { at: '${tasks.hold.output.address}' } }),
  task('optional', ['lock'], { when: 'params.host == "nowhere"' }),
  task('transfer', ['unplug'], {
    input: { to: '${tasks.target.output.port}' },
    pointOfNoReturn: true,
    retry: { attempts: 2, backoffMs: 10 },
  }),
  task('plug', ['transfer', 'optional'], { undo: false, retry: { attempts: 2, backoffMs: 10 } }),
  task('release', ['plug'], { undo: false }),
  task('beside', ['lock']),
]);

/** Items from a param and from a task's output, with conditions of their own, and a task behind all of them. */
const fan = definition('fan', [
  task('find', [], { undo: false }),
  task('each', [], {
    forEach: { items: '${tasks.find.output.list}', concurrency: 2 },
    input: { vm: '${item}', n: '${index}' },
    retry: { attempts: 2, backoffMs: 20 },
  }),
  task('some', ['find'], {
    forEach: { items: '${params.vms}', concurrency: 3 },
    when: 'item != "b"',
    input: { vm: '${item}' },
    priority: 8,
  }),
  task('none', [], { forEach: { items: '${tasks.find.output.none}', concurrency: 1 }, input: { vm: '${item}' } }),
  task('after', ['each', 'none'], { input: { all: '${tasks.some.output.items}' } }),
]);

/** Offers: of a task, of items, with and without somebody who does it otherwise. */
const bids = definition('bids', [
  task('build', [], { route: bid, retry: { attempts: 2, backoffMs: 30 } }),
  task('copy', ['build'], { route: { ...bid, award: 'affinity', near: '${params.host}', otherwise: 'host:h0' } }),
  task('place', ['build'], {
    route: { ...bid, award: 'spread' },
    forEach: { items: '${params.vms}', concurrency: 2 },
    input: { vm: '${item}' },
  }),
  task('done', ['copy', 'place']),
]);

/** Executors that have to say that they are at it, and second executions beside slow ones. */
const watched = definition('watched', [
  task('beat', [], { heartbeatMs: 200, retry: { attempts: 2, backoffMs: 10 } }),
  task('hedged', ['beat'], { hedge: { afterMs: 150 }, idempotent: true, retry: { attempts: 2, backoffMs: 10 } }),
  task('both', ['beat'], { heartbeatMs: 200, hedge: { afterMs: 300 }, idempotent: true }),
  task('won', ['hedged'], { route: bid, heartbeatMs: 500 }),
  task('each', ['hedged'], {
    forEach: { items: '${params.vms}', concurrency: 3 },
    hedge: { afterMs: 150 },
    idempotent: true,
    input: { vm: '${item}' },
  }),
  task('end', ['each', 'won', 'both']),
]);

/** All of it, and a point of no return in the middle. */
const all = definition('all', [
  task('first', [], { priority: 0 }),
  task('offer', ['first'], { route: bid, retry: { attempts: 2, backoffMs: 30 } }),
  task('each', ['first'], {
    forEach: { items: '${params.vms}', concurrency: 2 },
    input: { vm: '${item}' },
    heartbeatMs: 300,
    retry: { attempts: 2, backoffMs: 10 },
  }),
  task('go', ['offer', 'each'], { pointOfNoReturn: true, undo: false, retry: { attempts: 3, backoffMs: 10 }, heartbeatMs: 300 }),
  task('beside', ['first'], { hedge: { afterMs: 150 }, idempotent: true, priority: 9 }),
  task('behind', ['go'], { undo: false, forEach: { items: '${params.vms}', concurrency: 3 }, input: { vm: '${item}' } }),
  task('last', ['behind', 'beside'], { undo: false, route: { ...bid, otherwise: 'host:h0' } }),
]);

const executors = {
  'test.do': (input: Readonly<Record<string, unknown>>) => ({
    address: 'a',
    port: 1,
    list: ['x', 'y', 'z', 'u', 'v'],
    none: [],
    got: input,
  }),
};
const params = { host: 'host:h2', vms: ['a', 'b', 'c', 'd'] };
const sample = (of: WorkflowDefinition, unreachable: readonly string[] = []): HarnessOptions & { readonly name: string } => ({
  name: of.name,
  definition: of,
  params,
  executors,
  unreachable,
});

/** Between them they have every feature of a template. */
export const sampleWorkflows: readonly (HarnessOptions & { readonly name: string })[] = [
  sample(move, ['optional']),
  sample(fan, ['none']),
  sample(bids),
  sample(watched),
  sample(all),
];
