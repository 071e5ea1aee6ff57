import type { Rest } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { SimulatedVm } from './state.ts';

/** Of a memory that went, or came, by post-copy. Bytes and bytes a second, which only its source knows. */
export type SimulatedRest = {
  readonly is: 'sending' | 'cut' | 'whole';
  readonly from?: { readonly total: number; readonly left: number; readonly sent: number; readonly rate: number; readonly address: string };
};

export const restOf = ({ rest, state, role }: SimulatedVm, now: number): Rest => {
  if (!rest) return { is: state === 'postmigrate' || (role === 'incoming' && state === 'paused') ? 'whole' : 'none' };
  const { is, from } = rest;
  if (!from) return { is };
  const { total, left, sent, rate } = from;
  const figures = { phase: 'post-copy', bytesTotal: total, bytesRemaining: left, bytesTransferred: sent, dirtyPagesPerSecond: 0 };
  return { is, progress: { ...figures, mbps: is === 'sending' ? (rate * 8) / 1_000_000 : 0, at: new Date(now).toISOString() } };
};

/** After so long of sending. */
export const sentFor = (rest: SimulatedRest, ms: number): SimulatedRest => {
  const { from } = rest;
  if (!from) return rest;
  const bytes = Math.min(from.left, Math.max(1, Math.round((from.rate * ms) / 1000)));
  return { is: bytes === from.left ? 'whole' : rest.is, from: { ...from, left: from.left - bytes, sent: from.sent + bytes } };
};

export const goneByPostCopy = (vmId: string): HypervisorError =>
  new HypervisorError('hypervisor.not_ready', `${vmId} has gone by post-copy: there is no way back`);
