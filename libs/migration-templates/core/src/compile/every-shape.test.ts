import { describe, expect, test } from '@jest/globals';
import {
  guestTasks,
  hostTasks,
  migrationTemplatesTasks,
  stateMiBOf,
  WorkflowDefinition,
  type TaskDefinition,
  type Topology,
} from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { everyShape, inputOf, type MoveShape } from '../test/shapes.ts';
import { compileMove } from './compile-move.ts';

// The order of a move as rules, and each rule over every shape that a move can have.

type Graph = Readonly<{
  shape: MoveShape;
  definition: WorkflowDefinition;
  tasks: readonly TaskDefinition[];
  task: (name: string) => TaskDefinition | undefined;
  /** All that must have ended before this begins. */
  before: (name: string) => ReadonlySet<string>;
}>;

const graphOf = (shape: MoveShape): Graph => {
  const { definition } = compileMove(inputOf(shape));
  const tasks = definition.tasks;
  const byName = new Map(tasks.map((t) => [t.name, t]));
  const done = new Map<string, ReadonlySet<string>>();
  const before = (name: string): ReadonlySet<string> => {
    const known = done.get(name);
    if (known) return known;
    const t = byName.get(name)!;
    const referred = [...JSON.stringify([t.input, t.route]).matchAll(/\$\{tasks\.([a-z0-9-]+)\./g)].map((m) => m[1]!);
    const direct = [...(t.after ?? []), ...referred];
    const all = new Set(direct.flatMap((d) => [d, ...before(d)]));
    done.set(name, all);
    return all;
  };
  return { shape, definition, tasks, task: (n) => byName.get(n), before };
};

const hostOf = ({ route }: TaskDefinition): string | undefined => (route.mode === 'direct' ? route.executor : undefined);
const raised = ({ input }: TaskDefinition): boolean => input['epoch'] === '${tasks.begin-move.output.newEpoch}';
/** It asks or changes the VM itself. A preflight looks at its host. */
const touches = (t: TaskDefinition): boolean => hostOf(t) !== undefined && t.kind !== 'host.preflight';
const looking: ReadonlySet<string> = new Set(
  [
    hostTasks.preflight,
    hostTasks.confirmTarget,
    migrationTemplatesTasks.checkBlockers,
    migrationTemplatesTasks.awaitApproval,
    guestTasks.facts,
    guestTasks.verify,
  ].map((c) => c.kind),
);
const looks = (t: TaskDefinition): boolean => looking.has(t.kind);
const plugging: readonly string[] = [hostTasks.plug.kind, hostTasks.unplug.kind, hostTasks.resizeDisk.kind];
const changesGuest = (t: TaskDefinition): boolean => plugging.includes(t.kind) || (t.kind.startsWith('guest.') && !looks(t));
const names = (tasks: readonly TaskDefinition[]): string[] => tasks.map((t) => t.name);
/** Of these tasks, those that do not wait for that one. */
const early = (g: Graph, tasks: readonly TaskDefinition[], gate: string): string[] =>
  names(tasks.filter((t) => !g.before(t.name).has(gate)));
const targetOnly = ['preflight-target', 'prepare-target', 'transfer', 'confirm-target', 'switch-over', 'release-source'];

const approvals = ['await-approval', 'settle-approval'];
const held = (g: Graph): boolean => g.shape.asks && !g.shape.restarts && !g.shape.saves && !g.shape.postCopy;

/** Each answers the tasks that break it. */
const rules: Record<string, (g: Graph) => string[]> = {
  'nobody asks or changes the VM before it is locked for the move': (g) =>
    early(g, g.tasks.filter((t) => touches(t) && !looks(t)), 'begin-move'), // prettier-ignore
  'nothing is changed before the target is held, and neither end is blocked': (g) => [
    ...early(g, g.tasks.filter((t) => touches(t) && !looks(t)), 'hold-target'),
    ...early(g, g.tasks.filter((t) => changesGuest(t) || t.kind === 'host.transfer'), 'check-blockers'),
  ], // prettier-ignore
  "nothing of the target's guest before it was seen to run there": (g) =>
    g.shape.move
      ? early(
          g,
          g.tasks.filter((t) => touches(t) && hostOf(t) === 'host:h2' && !['prepare-target', 'confirm-target'].includes(t.name)),
          'confirm-target',
        )
      : [],
  'nothing at the new epoch before prepare-target': (g) =>
    early(g, g.tasks.filter((t) => touches(t) && raised(t) && t.name !== 'prepare-target'), 'prepare-target'), // prettier-ignore
  'old epoch at the source, new epoch at the target': (g) =>
    names(g.tasks.filter((t) => hostOf(t) !== undefined && raised(t) !== (g.shape.move && hostOf(t) === 'host:h2'))),
  'nothing runs beside the transfer but what it waits for: each task is before it or after it': (g) =>
    g.shape.move
      ? names(
          g.tasks.filter(
            (t) =>
              !['transfer', ...(held(g) ? approvals : [])].includes(t.name) &&
              !g.before('transfer').has(t.name) &&
              !g.before(t.name).has('transfer'),
          ),
        )
      : [],
  'at the source only the release comes after the transfer, and what sends the rest of a memory': (g) =>
    g.shape.move
      ? names(
          g.tasks.filter(
            (t) =>
              hostOf(t) === 'host:h1' &&
              g.before(t.name).has('transfer') &&
              t.name !== 'release-source' &&
              (t.name !== 'await-memory' || !g.shape.postCopy),
          ),
        )
      : [],
  'of a post-copy the source stays, and nothing is plugged or asked, until the target has all of the memory': (g) =>
    g.shape.postCopy
      ? [
          ...early(g, [g.task('await-memory')!], 'switch-over'),
          ...early(g, [g.task('release-source')!], 'await-memory'),
          ...early(
            g,
            g.tasks.filter((t) => (changesGuest(t) || t.kind === 'guest.verify') && raised(t)),
            'await-memory',
          ),
          ...names(g.tasks.filter((t) => ['host.prepare-target', 'host.transfer'].includes(t.kind) && !t.input['postCopy'])),
        ]
      : names(g.tasks.filter((t) => t.name === 'await-memory')),
  'the source goes when the target was seen to run and that is recorded, its hold after it': (g) =>
    g.shape.move ? [...early(g, [g.task('release-source')!], 'switch-over'), ...early(g, [g.task('swap-holds')!], 'release-source')] : [],
  'the switch-over is recorded when the target was seen to run': (g) =>
    g.shape.move ? early(g, [g.task('switch-over')!], 'confirm-target') : [],
  'what the guest shows is judged when nothing changes it any more': (g) =>
    g.shape.guest && !g.shape.restarts
      ? names(g.tasks.filter((t) => (changesGuest(t) || t.name === 'confirm-target') && !g.before('verify-guest').has(t.name)))
      : [],
  'end-move is last, and the only last': (g) => names(g.tasks.filter((t) => t.name !== 'end-move' && !g.before('end-move').has(t.name))),
  'without an agent nothing is asked of the guest but what the template says': (g) =>
    g.shape.guest && !g.shape.restarts ? [] : names(g.tasks.filter((t) => ['guest.facts', 'guest.verify'].includes(t.kind))),
  'a restart is given the whole hardware by its start: nothing is plugged but what a disk grows, and its end is bounded': (g) =>
    g.shape.restarts
      ? names(
          g.tasks.filter(
            (t) =>
              ['host.plug', 'host.unplug', 'guest.online-cpus', 'guest.online-memory'].includes(t.kind) ||
              (t.kind === 'host.transfer' && t.input['shutDown'] === undefined) ||
              (t.kind === 'host.prepare-target' && t.input['cold'] !== true),
          ),
        )
      : [],
  'what is saved is saved to a pool, within a time that its target waits for as well, and has room held there for it': (g) => {
    if (!g.shape.saves) return names(g.tasks.filter((t) => t.input['saveTo'] !== undefined || t.input['restores'] !== undefined));
    const [hold, ready, transfer] = ['hold-target', 'prepare-target', 'transfer'].map((n) => g.task(n)!);
    const { pool } = transfer!.input['saveTo'] as { pool: string };
    const roomOf = (t: TaskDefinition): number =>
      (t.input['room'] as { pool: string; sizeMiB: number }[]).find((r) => r.pool === pool)!.sizeMiB;
    const { saves: _, ...live } = g.shape;
    const { definition, params } = compileMove(inputOf(live));
    const plain = definition.tasks.find((t) => t.name === 'hold-target')!;
    const held = roomOf(hold!) - roomOf(plain) === stateMiBOf(params['moved'] as Topology);
    const waits = (ready!.input['restores'] as { withinMs: number }).withinMs > transfer!.deadlineMs!;
    return [...(held ? [] : ['hold-target']), ...(waits ? [] : ['prepare-target'])];
  },
  'somebody is asked when all is ready: while the memory is sent, where it is, and its host is told; before a guest is stopped, where it is not':
    (g) => {
      const asked = approvals.filter((n) => g.task(n));
      if (!g.shape.asks) return asked;
      const [transfer, before] = [g.task('transfer')!, g.before('transfer').has('await-approval')];
      const ready = [...g.before('transfer')].filter((n) => !approvals.includes(n) && !g.before('await-approval').has(n));
      return [
        ...ready,
        ...(held(g) === (transfer.input['awaitsApproval'] === true) && held(g) !== before ? [] : ['transfer']),
        ...(asked.length === (held(g) ? 2 : 1) ? [] : asked),
      ];
    },
  'a morph stays where it is': (g) =>
    g.shape.move ? [] : names(g.tasks.filter((t) => targetOnly.includes(t.name) || (hostOf(t) ?? 'host:h1') !== 'host:h1')),

  'one point of no return; in a move it is the transfer': (g) => {
    const points = names(g.tasks.filter((t) => t.pointOfNoReturn));
    return points.length === 1 && (!g.shape.move || points[0] === 'transfer') ? [] : ['points of no return:', ...points];
  },
  'each effect before the point of no return has an undo': (g) => {
    const point = g.tasks.find((t) => t.pointOfNoReturn)!.name;
    // Memory brought online needs none of its own: its plug's undo takes it offline and out.
    return names(
      g.tasks.filter((t) => g.before(point).has(t.name) && !looks(t) && t.compensation === undefined && t.kind !== 'guest.online-memory'),
    );
  },
  'after the transfer nothing is undone': (g) =>
    g.shape.move ? names(g.tasks.filter((t) => g.before(t.name).has('transfer') && t.compensation !== undefined)) : [],
  'the lock and the hold go last of what is undone: all else that has an undo came after them': (g) => {
    const others = g.tasks.filter((t) => t.compensation !== undefined && !['hold-target', 'begin-move'].includes(t.name));
    return [...early(g, others, 'begin-move'), ...early(g, others, 'hold-target')];
  },
  'a topology is recorded after all that made it so': (g) => [
    ...early(g, g.tasks.filter((t) => t.name === 'transfer' && g.task('record-unplugged')), 'record-unplugged'),
    ...names(g.tasks.filter((t) => t.section === 'hot-unplug' && t.kind === 'host.unplug' && !g.before('record-unplugged').has(t.name))),
    ...names(
      g.tasks.filter((t) => t.section === 'hot-plug' && t.kind.startsWith('host.') && !g.before('record-plugged').has(t.name)),
    ),
  ], // prettier-ignore
  'what shrinks is whole in the guest before, so that an undo can make it whole again; at the source, before the move': (g) => {
    const goes = g.tasks.filter(
      (t) => t.kind === 'host.unplug' && ['cpu', 'memory'].includes((t.input['device'] as { kind: string }).kind),
    );
    const offlined = names(g.tasks.filter((t) => t.kind === 'guest.offline-cpus' && raised(t)));
    if (g.shape.move) offlined.push(...names(g.tasks.filter((t) => t.kind === 'guest.offline-cpus' && !g.before('transfer').has(t.name))));
    if (offlined.length > 0) return offlined;
    return names(goes.filter((t) => ![...g.before(t.name)].some((b) => g.task(b)?.kind.startsWith('guest.online-')) || raised(t)));
  },
  'scripts keep their places: before all that is unplugged or moved, between, and after all that is new': (g) => {
    const [first, between, last] = ['script-before', 'script-between', 'script-after'].map((n) => g.task(n)?.name);
    const ahead = [...plugging, 'host.transfer'];
    return [
      ...(first ? early(g, g.tasks.filter((t) => ahead.includes(t.kind)), first) : []),
      ...(last && between ? early(g, [g.task(last)!], between) : []),
      ...(last ? names(g.tasks.filter((t) => changesGuest(t) && t.name !== last && !g.before(last).has(t.name))) : []),
    ]; // prettier-ignore
  },
};

describe(`the order of a move, over its ${everyShape.length} shapes`, () => {
  const graphs = everyShape.map(graphOf);

  test('each is a workflow, with every field of every task in its place', () => {
    for (const { definition } of graphs) WorkflowDefinition.parse(definition);
    // What the workflow service would say of it; one in seven, as that takes a while.
    for (const shape of everyShape.filter((_, i) => i % 7 === 0)) expect(validateRequest(compileMove(inputOf(shape)))).toEqual([]);
    expect(new Set(everyShape.map((s) => s.name)).size).toBe(everyShape.length);
  });
  test.each(Object.entries(rules))('%s', (_, rule) => {
    const broken = graphs.flatMap((g) => {
      const tasks = rule(g);
      return tasks.length > 0 ? [`${g.shape.name}: ${tasks.join(', ')}`] : [];
    });
    expect({ shapes: broken.length, first: broken.slice(0, 3) }).toEqual({ shapes: 0, first: [] });
  });
});
