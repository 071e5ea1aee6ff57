import { memoryMiBOf, vcpusOf, type Topology, type VmTypeSpec, type WorkflowDefinition } from '@chrysalis/contracts';
import { needsAgent } from '../guest-access.ts';
import { namer, reservedNames } from '../names.ts';
import { draft, output } from './draft.ts';
import { finish, handOver } from './finish.ts';
import type { Making, MoveInput } from './making.ts';
import { hotPlug, postMigration } from './onward.ts';
import { prepare } from './prepare.ts';
import { shapeOf } from './shape.ts';
import { hotUnplug, preMigration } from './source-side.ts';
import { deadlines } from './timings.ts';
import { transferAndSwitch } from './transfer.ts';

export type CompiledMove = Readonly<{ definition: WorkflowDefinition; params: Record<string, unknown> }>;

/**
 * A move as a workflow: docs/architecture.md, 'A move'. Pure. Tasks come after what they need and nothing else: the two checks, the hold,
 * the lock and the guest's facts at once; the target is prepared beside the steps at the source; plugs go out together and the host
 * agent takes them one by one; the source is let go beside them. Topologies are worked out here and come in as params.
 */
export const compileMove = (input: MoveInput): CompiledMove => {
  const { spec } = input.template;
  const moves = spec.migration.length > 0;
  const shape = shapeOf(input.vm.topology, spec);
  const steps = [spec.preMigration, spec.hotUnplug, spec.migration, spec.hotPlug, spec.postMigration].flat();
  const newEpoch = output('begin-move', 'newEpoch');
  const making: Making = {
    input,
    draft: draft(),
    name: namer([...reservedNames, ...steps.map((s) => s.name)]),
    shape,
    moves,
    needsAgent: needsAgent(spec),
    runner: moves ? { hostId: input.target.hostId, epoch: newEpoch } : { hostId: input.vm.hostId, epoch: input.vm.epoch },
    newEpoch,
  };
  const gates = prepare(making);
  const atSource = hotUnplug(making, preMigration(making, gates.guest));
  const there = moves ? transferAndSwitch(making, gates.target, atSource) : atSource;
  const handedOver = moves ? handOver(making) : [];
  const plugs = hotPlug(making, there);
  postMigration(making, plugs, there);
  const final = finish(making, there, handedOver);
  return {
    definition: {
      name: moves ? 'move' : 'morph',
      version: 1,
      summary: `${moves ? 'Move' : 'Morph'} ${input.vm.vmId} by ${input.template.ref.name}@${input.template.ref.version}`.slice(0, 255),
      params: Object.fromEntries(
        ['topology', 'moved', 'final', 'targetSpec', 'shownSpec'].map((p) => [p, { type: 'object' as const, required: true }]),
      ),
      tasks: [...making.draft.tasks],
      deadlineMs: deadlines.workflow,
      output: final,
    },
    params: {
      topology: shape.before,
      moved: shape.moved,
      final: shape.after,
      targetSpec: input.target.spec,
      shownSpec: shown(input.target.spec, shape.after),
    },
  };
};

/** The type as its guest is to see it: with `hide` it has what it had. */
const shown = (spec: VmTypeSpec, after: Topology): VmTypeSpec => ({
  ...spec,
  vcpus: { ...spec.vcpus, now: vcpusOf(after) },
  memoryMiB: { ...spec.memoryMiB, now: memoryMiBOf(after) },
});
