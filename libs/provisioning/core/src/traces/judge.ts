import type { Finding, Trace } from '@chrysalis/contracts';
import type { Move, VmStatus } from '../vm/vm.ts';
import type { VolumeStatus } from '../volume/volume.ts';

/** What the stream of a VM says of where it is. */
export type VmSaid = Readonly<{
  status: VmStatus;
  epoch: number;
  hostId?: string | undefined;
  move?: Pick<Move, 'fromHost' | 'toHost'> | undefined;
  /** An action or change has it. */
  action?: string | undefined;
}>;
export type VolumeSaid = Readonly<{
  status: VolumeStatus;
  pool: string;
  poolId?: string | undefined;
  hostId?: string | undefined;
  action?: string | undefined;
  left?: boolean | undefined;
}>;
/** `given`: some network of ours has this number, or had. `here`: a VM of the host is on it. `coming`: one that is under way. */
export type SegmentSaid = Readonly<{ given: boolean; here: boolean; coming: boolean }>;
/** What is not in it no stream of ours has ever heard of. */
export type Said = Readonly<{
  vms: ReadonlyMap<string, VmSaid>;
  volumes: ReadonlyMap<string, VolumeSaid>;
  segments: ReadonlyMap<number, SegmentSaid>;
}>;

export type Judgement = Readonly<{ verdict: 'expected' | Exclude<Finding['verdict'], 'missing'>; why: string }>;

const expected: Judgement = { verdict: 'expected', why: '' };
const orphan = (why: string): Judgement => ({ verdict: 'orphan', why });
const busy = (why: string): Judgement => ({ verdict: 'busy', why });
const unknown = (why: string): Judgement => ({ verdict: 'unknown', why });

/**
 * Whether a trace is to be on its host. Nothing is an orphan but what a stream of ours knows by its id, that stream's last word being that
 * it is not there: not what is under way in any stream, and not what its host asks to be left alone.
 */
export const judgeTrace = (hostId: string, trace: Trace, said: Said): Judgement => {
  const judged = byOwner(hostId, trace, said);
  return judged.verdict === 'orphan' && trace.busy !== undefined ? busy(trace.busy) : judged;
};

/** One package serves every VM of its pool, on whichever hosts, and the next one that is characterised: it is nobody's left-over. */
const byOwner = (hostId: string, trace: Trace, { vms, volumes, segments }: Said): Judgement => {
  if (trace.volumeId !== undefined) return ofVolume(hostId, trace, volumes.get(trace.volumeId));
  if (trace.vmId !== undefined) return ofVm(hostId, trace, vms.get(trace.vmId));
  if (trace.vni !== undefined) return ofSegment(segments.get(trace.vni));
  if (trace.agentPackage) return expected;
  return unknown('nothing of it says whose it is');
};

const unheard = unknown('no stream of ours has heard of its id');

/** What is being done with a VM, on whichever hosts. */
export const underWay = ({ status, move, action }: VmSaid): string | undefined => {
  if (move) return `in a move from ${move.fromHost} to ${move.toHost}`;
  if (action !== undefined) return `in an action: ${action}`;
  return status === 'requested' || status === 'placed' || status === 'deleting' ? `its VM is ${status}` : undefined;
};

const ofVm = (hostId: string, { kind, shared, savedState }: Trace, vm: VmSaid | undefined): Judgement => {
  if (!vm) return unheard;
  const doing = underWay(vm);
  if (doing !== undefined) return busy(doing);
  if (vm.status === 'deleted' || vm.status === 'failed') return orphan(`its VM is ${vm.status}`);
  if (savedState) return orphan('its VM was saved to it for a move that is over');
  // The files of a VM in a pool that several hosts see are the VM's, wherever it runs.
  if (vm.hostId === undefined || vm.hostId === hostId || (kind === 'disk' && shared !== false)) return expected;
  return orphan(`its VM is on ${vm.hostId}`);
};

const ofVolume = (hostId: string, trace: Trace, volume: VolumeSaid | undefined): Judgement => {
  if (!volume) return unheard;
  const { status, action } = volume;
  if (action !== undefined) return busy(`in an action: ${action}`);
  if (status === 'creating' || status === 'deleting') return busy(`its volume is ${status}`);
  if (status === 'deleted' || (status === 'failed' && volume.left !== true)) return orphan(`its volume is ${status}`);
  return ofPool(hostId, trace, volume);
};

/** There is such a volume: whether this is where it is. */
const ofPool = (hostId: string, { poolId, pool, shared }: Trace, volume: VolumeSaid): Judgement => {
  if (shared === false && volume.hostId !== undefined && volume.hostId !== hostId) return orphan(`its volume is on ${volume.hostId}`);
  const same = poolId !== undefined && volume.poolId !== undefined ? poolId === volume.poolId : pool === volume.pool;
  // A copy that somebody put there, or a pool under another name: which of the two is the volume is not for us to say.
  return same ? expected : unknown(`its volume is in another pool, ${volume.pool}`);
};

const ofSegment = (segment: SegmentSaid | undefined): Judgement => {
  if (!segment?.given) return unknown('no network of ours has, or had, its number');
  if (segment.here) return expected;
  return segment.coming ? busy('a VM that is under way is on its network') : orphan('no VM of this host is on its network');
};
