import { usualPoolSettings, poolConsumerText, type PoolConsumer, type PoolRoom, type PoolSettings } from '@chrysalis/contracts';
import { accept, canonicalJson, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { capacityOfPool, evolvePool, heldIn, initialPool, type KnownPool, type Pool, type PoolEvent, type PoolRejection } from './pool.ts';

/** A host that has the pool told of its room; the first time this registers the pool. */
export type ReportRoom = Readonly<{ type: 'report-room'; poolId: string; name: string; kind: string; hostId: string; room: PoolRoom }>;
export type ChangeSettings = Readonly<{ type: 'change-settings'; poolId: string; settings: Partial<PoolSettings>; reason: string }>;
/** So much in all, whatever the consumer held before. Of a volume that grows, too. */
export type HoldRoom = Readonly<{ type: 'hold-room'; poolId: string; consumer: PoolConsumer; vmId?: string; sizeMiB: number }>;
/** A move: what its VM is to have in the end, of which the VM holds some, or `hasMiB` if it is one of before pools were held. */
export type HoldGrowth = Readonly<{ type: 'hold-growth'; poolId: string; moveId: string; vmId: string; sizeMiB: number; hasMiB: number }>;
export type ReleaseRoom = Readonly<{ type: 'release-room'; poolId: string; consumer: PoolConsumer; reason: string }>;
/** Down to what it was before, where growing it was given up: never up. */
export type LowerRoom = Readonly<{ type: 'lower-room'; poolId: string; consumer: PoolConsumer; sizeMiB: number }>;
export type SwapRoom = Readonly<{ type: 'swap-room'; poolId: string; moveId: string; vmId: string; sizeMiB: number }>;
export type PoolCommand = ReportRoom | ChangeSettings | HoldRoom | HoldGrowth | ReleaseRoom | LowerRoom | SwapRoom;
export type PoolDecision = Decision<PoolEvent, PoolRejection>;

const reportRoom = ({ poolId, name, kind, hostId, room }: ReportRoom, pool: Pool): PoolDecision => {
  if (pool.status === 'unknown')
    return accept({
      type: 'chrysalis.resource-allocation.pool.registered.v1',
      data: { poolId, name, kind, hostId, room, settings: usualPoolSettings },
    });
  if (canonicalJson(pool.room) === canonicalJson(room)) return accept(); // how often it is told is the gateway's to say
  return accept({ type: 'chrysalis.resource-allocation.pool.room-reported.v1', data: { poolId, hostId, room } });
};

/** What is held stays, also where it is more than may be promised from now on: it may only fall. */
const changeSettings = ({ poolId, settings, reason }: ChangeSettings, pool: KnownPool): PoolDecision => {
  const {
    allocation = pool.settings.allocation,
    ratioPerMille = pool.settings.ratioPerMille,
    reservedMiB = pool.settings.reservedMiB,
  } = settings;
  const wanted = { allocation, ratioPerMille, reservedMiB };
  if (allocation === 'full' && ratioPerMille > 1000)
    return reject({
      code: 'pool.overcommit_refused',
      poolId,
      message: `files of ${pool.name} are made in full: a ratio of ${ratioPerMille} per mille promises more than there is`,
      ratioPerMille,
    });
  if (canonicalJson(wanted) === canonicalJson(pool.settings)) return accept();
  return accept({ type: 'chrysalis.resource-allocation.pool.settings-changed.v1', data: { poolId, settings: wanted, reason } });
};

/** What comes on top of what it holds has to be free; the same again, or less, always is. */
const holdRoom = ({ poolId, consumer, vmId, sizeMiB }: HoldRoom, pool: KnownPool): PoolDecision => {
  const held = heldIn(pool, consumer);
  if (held === sizeMiB) return accept();
  const lacks = sizeMiB - (held ?? 0);
  const free = capacityOfPool(pool) - pool.heldMiB;
  if (lacks > 0 && lacks > free) return short(pool, lacks, free);
  const data = { poolId, consumer, ...(vmId === undefined ? {} : { vmId }), sizeMiB, heldMiB: pool.heldMiB + lacks };
  return accept({ type: 'chrysalis.resource-allocation.pool.room-held.v1', data });
};

const short = (pool: KnownPool, requestedMiB: number, free: number): PoolDecision => {
  const { poolId, name } = pool;
  const [freeMiB, capacityMiB] = [Math.max(0, free), capacityOfPool(pool)];
  const message = `the pool ${name} has too little room: ${requestedMiB} MiB wanted, ${freeMiB} free of ${capacityMiB}`;
  return reject({ code: 'pool.capacity_exceeded', poolId, message, requestedMiB, freeMiB, capacityMiB });
};

const holdGrowth = ({ poolId, moveId, vmId, sizeMiB, hasMiB }: HoldGrowth, pool: KnownPool): PoolDecision => {
  const has = heldIn(pool, { kind: 'vm', id: vmId }) ?? hasMiB;
  if (sizeMiB <= has) return accept(); // what goes along in a pool that hosts share takes nothing more
  return holdRoom({ type: 'hold-room', poolId, consumer: { kind: 'move', id: moveId }, vmId, sizeMiB: sizeMiB - has }, pool);
};

const releaseRoom = ({ poolId, consumer, reason }: ReleaseRoom, pool: KnownPool): PoolDecision => {
  const sizeMiB = heldIn(pool, consumer);
  if (sizeMiB === undefined) return accept();
  return accept({
    type: 'chrysalis.resource-allocation.pool.room-released.v1',
    data: { poolId, consumer, sizeMiB, heldMiB: pool.heldMiB - sizeMiB, reason },
  });
};

const lowerRoom = ({ poolId, consumer, sizeMiB }: LowerRoom, pool: KnownPool): PoolDecision => {
  const held = heldIn(pool, consumer);
  if (held === undefined || held <= sizeMiB) return accept();
  return accept({
    type: 'chrysalis.resource-allocation.pool.room-held.v1',
    data: { poolId, consumer, sizeMiB, heldMiB: pool.heldMiB - held + sizeMiB },
  });
};

/** Exactly what the VM lacked is what the move held, so the sum does not rise; of a VM that held nothing (one of before) it does, to the truth. */
const swapRoom = ({ poolId, moveId, vmId, sizeMiB }: SwapRoom, pool: KnownPool): PoolDecision => {
  const ofMove = heldIn(pool, { kind: 'move', id: moveId });
  const ofVm = heldIn(pool, { kind: 'vm', id: vmId });
  if (ofMove === undefined && ofVm === sizeMiB) return accept();
  const heldMiB = pool.heldMiB - (ofMove ?? 0) - (ofVm ?? 0) + sizeMiB;
  return accept({ type: 'chrysalis.resource-allocation.pool.room-swapped.v1', data: { poolId, moveId, vmId, sizeMiB, heldMiB } });
};

const decide = (command: PoolCommand, pool: Pool): PoolDecision => {
  if (command.type === 'report-room') return reportRoom(command, pool);
  if (pool.status === 'unknown') return reject({ code: 'pool.unknown', poolId: command.poolId });
  switch (command.type) {
    case 'change-settings':
      return changeSettings(command, pool);
    case 'hold-room':
      return holdRoom(command, pool);
    case 'hold-growth':
      return holdGrowth(command, pool);
    case 'release-room':
      return releaseRoom(command, pool);
    case 'lower-room':
      return lowerRoom(command, pool);
    case 'swap-room':
      return swapRoom(command, pool);
    default:
      return unreachable(command);
  }
};

/** Decides on stream `pool-<uuid>`, which is the pool's id. */
export const poolDecider: Decider<PoolCommand, Pool, PoolEvent, PoolDecision> = { initial: initialPool, decide, evolve: evolvePool };

/** The consumers whose holds a command is about: of a pool that was not folded whole these have to be in `holds`. */
export const consumersOf = (command: PoolCommand): string[] => {
  switch (command.type) {
    case 'report-room':
    case 'change-settings':
      return [];
    case 'hold-growth':
    case 'swap-room':
      return [`move:${command.moveId}`, `vm:${command.vmId}`];
    default:
      return [poolConsumerText(command.consumer)];
  }
};
