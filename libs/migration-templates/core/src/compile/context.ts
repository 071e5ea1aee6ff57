import { topologyHash, type CopiedDisk, type Ref, type TemplateSpec, type VmTypeSpec } from '@chrysalis/contracts';
import type { KnownVm } from '../known.ts';
import type { namer } from '../names.ts';
import { param, type TaskList } from './task-list.ts';
import type { Shape } from './shape.ts';

export type MoveInput = Readonly<{
  migrationId: string;
  moveId: string;
  template: Readonly<{ ref: Ref; spec: TemplateSpec }>;
  vm: KnownVm;
  target: Readonly<{ hostId: string; spec: VmTypeSpec }>;
  /** Disks that the target does not see where they are. */
  copied?: readonly CopiedDisk[] | undefined;
  /** Of save-and-restore: both hosts have `mapped-ram`. */
  mapped?: boolean | undefined;
  /** CPUs that the type lacks stay, offline in the guest: `offlinesCpus`. */
  offlines: boolean;
  /** An agent in the guest answers: facts before, verification after. Without one, nothing is asked of the guest. */
  guest: boolean;
}>;

/** What the parts of the compiler share. */
export type MoveContext = Readonly<{
  input: MoveInput;
  tasks: TaskList;
  name: ReturnType<typeof namer>;
  shape: Shape;
  moves: boolean;
  /** It begins anew at the target: nothing of its guest is compared, and no agent is in it. */
  restarts: boolean;
  /** A step of the template is carried out by the agent in the guest. */
  needsAgent: boolean;
  /** Where the VM runs after the switch-over, and at which epoch; a morph stays where and what it is. */
  runner: Readonly<{ hostId: string; epoch: number | `\${${string}}` }>;
  newEpoch: `\${${string}}`;
}>;

/** As the params of a move are called that hold the topology of each stage. */
const stages = { before: 'topology', moved: 'moved', arriving: 'arriving', arrived: 'arrived', after: 'final' } as const;
export type Stage = keyof typeof stages;

/** Topology and hash of a stage, as inputs take them. Where nothing is done in the middle, what arrives is what was sent. */
export const shaped = (m: MoveContext, stage: Stage) => ({
  topology: param(stages[hasMiddle(m) || !stage.startsWith('arriv') ? stage : 'moved']),
  topologyHash: topologyHash(m.shape[stage]),
});

export const hasMiddle = ({ input, moves }: Pick<MoveContext, 'input' | 'moves'>): boolean =>
  moves && input.template.spec.midMigration !== undefined;
