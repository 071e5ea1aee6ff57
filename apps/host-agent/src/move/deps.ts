import type { PeerAnswer, MoveRequest } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import type { VmStates } from '../durable/vm-states.ts';
import type { Logger as Log } from '@chrysalis/service-kit/log';

/** What both ends of a move work with. Time is milliseconds since 1970. */
export type MoveDeps = {
  readonly driver: HypervisorDriver;
  readonly states: VmStates;
  readonly log: Log;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** A named place between two lines: a test may fail, delay or kill here. */
  readonly at: (point: string, context: { vmId: string; moveId: string }) => Promise<void>;
};

/** The way to the other host's agent. Rejects when no answer came; then nothing is known. */
export type AskPeer = (address: { peerAddress: string; host: string }, request: MoveRequest, timeoutMs: number) => Promise<PeerAnswer>;

export const iso = (ms: number): string => new Date(ms).toISOString();
/** Microseconds since 1970 as ISO 8601 with microseconds: QEMU's clock is finer than a Date. */
export const isoUs = (us: number): string => {
  const whole = Math.floor(us);
  return `${new Date(Math.floor(whole / 1000)).toISOString().slice(0, -1)}${String(whole % 1000).padStart(3, '0')}Z`;
};
/** Milliseconds since 1970 of an ISO text with up to microseconds. */
export const millisecondsOf = (text: string): number => {
  const micros = /\.\d{3}(\d{3})Z$/.exec(text)?.[1];
  return Date.parse(text) + (micros ? Number(micros) / 1000 : 0);
};
