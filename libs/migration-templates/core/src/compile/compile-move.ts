import {
  memoryMiBOf,
  topologyHash,
  vcpusOf,
  type Ref,
  type TemplateSpec,
  type Topology,
  type VmTypeSpec,
  type WorkflowDefinition,
} from '@chrysalis/contracts';
import { needsAgent } from '../guest-access.ts';
import type { KnownVm } from '../known.ts';
import { namer, reservedNames } from '../names.ts';
import { draft, output, param, type Draft } from './draft.ts';
import { finish, handOver } from './finish.ts';
import { hotPlug, postMigration } from './onward.ts';
import { prepare } from './prepare.ts';
import { shapeOf, type Shape } from './shape.ts';
import { hotUnplug, preMigration } from './source-side.ts';
import { deadlines } from './timings.ts';
import { transferAndSwitch } from './transfer.ts';

export type MoveInput = Readonly<{
  migrationId: string;
  moveId: string;
  template: Readonly<{ ref: Ref; spec: TemplateSpec }>;
  vm: KnownVm;
  target: Readonly<{ hostId: string; spec: VmTypeSpec }>;
  /** An agent in the guest answers: facts before, verification after. Without one, nothing is asked of the guest. */
  guest: boolean;
}>;

/** What the parts of the compiler share. */
export type Making = Readonly<{
  input: MoveInput;
  draft: Draft;
  name: ReturnType<typeof namer>;
  shape: Shape;
  moves: boolean;
  /** A step of the template is carried out by the agent in the guest. */
  needsAgent: boolean;
  /** Where the VM runs after the switch-over, and at which epoch; a morph stays where and what it is. */
  runner: Readonly<{ hostId: string; epoch: number | `\${${string}}` }>;
  newEpoch: `\${${string}}`;
}>;

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

/** Topology and hash of a stage, as inputs take them. */
export const shaped = (m: Making, stage: 'before' | 'moved' | 'after') => ({
  topology: param(stage === 'before' ? 'topology' : stage === 'moved' ? 'moved' : 'final'),
  topologyHash: topologyHash(m.shape[stage]),
});
