import { memoryMiBOf, vcpusOf, type Topology, type VmTypeSpec, type WorkflowDefinition } from '@chrysalis/contracts';
import { needsAgent } from '../guest-access.ts';
import { namer, reservedNames } from '../names.ts';
import { output, taskList } from './task-list.ts';
import { hasMiddle, type MoveContext, type MoveInput } from './context.ts';
import { hotPlug } from './hot-plug.ts';
import { hotUnplug } from './hot-unplug.ts';
import { handOver, memoryDeadline, migration, transferDeadline } from './migration.ts';
import { postMigration } from './post-migration.ts';
import { preMigration } from './pre-migration.ts';
import { prepare } from './prepare.ts';
import { restarts } from '../restart.ts';
import { shapeOf } from './shape.ts';
import { deadlines } from './timings.ts';
import { verify } from './verify.ts';

export type CompiledMove = Readonly<{ definition: WorkflowDefinition; params: Record<string, unknown> }>;

/**
 * A move as a workflow: docs/architecture.md, 'A move'. Pure. Tasks come after what they need and nothing else: the two checks, the hold,
 * the lock and the guest's facts at once; the target is prepared beside the steps at the source; plugs go out together and the host
 * agent takes them one by one; the source is let go beside them. Topologies are worked out here and come in as params.
 */
export const compileMove = (input: MoveInput): CompiledMove => {
  const { spec } = input.template;
  const moves = spec.migration.length > 0;
  const shape = shapeOf(input.vm, spec, { offlines: input.offlines, target: input.target.spec });
  const { stopped = [], running = [] } = spec.midMigration ?? {};
  const steps = [spec.preMigration, spec.hotUnplug, spec.migration, stopped, running, spec.hotPlug, spec.postMigration].flat();
  const newEpoch = output('begin-move', 'newEpoch');
  const context: MoveContext = {
    input,
    tasks: taskList(),
    name: namer([...reservedNames, ...steps.map((s) => s.name)]),
    shape,
    moves,
    restarts: restarts(spec),
    needsAgent: needsAgent(spec),
    runner: moves ? { hostId: input.target.hostId, epoch: newEpoch } : { hostId: input.vm.hostId, epoch: input.vm.epoch },
    newEpoch,
  };
  const gates = prepare(context);
  const atSource = hotUnplug(context, preMigration(context, gates.guest));
  const there = moves ? migration(context, gates.target, atSource) : atSource;
  const handedOver = moves ? handOver(context) : [];
  const plugs = hotPlug(context, there);
  postMigration(context, plugs, there);
  const final = verify(context, there, handedOver);
  const params = {
    topology: shape.before,
    moved: shape.moved,
    ...(hasMiddle(context) ? { arriving: shape.arriving, arrived: shape.arrived } : {}),
    final: shape.after,
    targetSpec: input.target.spec,
    shownSpec: shown(input.target.spec, shape.after),
    // What the source is asked for by a restart: it has no room for what that gives elsewhere.
    ...(context.restarts ? { sourceSpec: input.vm.spec } : {}),
  };
  return {
    definition: {
      name: moves ? 'move' : 'morph',
      version: 1,
      summary: `${moves ? 'Move' : 'Morph'} ${input.vm.vmId} by ${input.template.ref.name}@${input.template.ref.version}`.slice(0, 255),
      params: Object.fromEntries(Object.keys(params).map((p) => [p, { type: 'object' as const, required: true }])),
      tasks: [...context.tasks.all],
      deadlineMs: Math.max(deadlines.workflow, moves ? deadlines.workflow / 2 + transferDeadline(context) + memoryDeadline(context) : 0),
      output: final,
    },
    params,
  };
};

/** The type as its guest is to see it: with `hide` it has what it had. */
const shown = (spec: VmTypeSpec, after: Topology): VmTypeSpec => ({
  ...spec,
  vcpus: { ...spec.vcpus, now: vcpusOf(after) },
  memoryMiB: { ...spec.memoryMiB, now: memoryMiBOf(after) },
});
