import type { TaskDefinition } from '@chrysalis/contracts';

export type Retry = NonNullable<TaskDefinition['retry']>;

/** Services answer in milliseconds; a service that restarts is back within seconds. */
const service: Retry = { attempts: 6, backoffMs: 100, maxBackoffMs: 5_000 };
/** After the switch-over there is no way but forward: keep trying for minutes before the move stops and names what is missing. */
const forward: Retry = { attempts: 12, backoffMs: 200, maxBackoffMs: 30_000 };
const undo: Retry = { attempts: 10, backoffMs: 200, maxBackoffMs: 15_000 };
const host: Retry = { attempts: 4, backoffMs: 200, maxBackoffMs: 5_000 };
/**
 * The host agent is idempotent by the VM's epoch: asked again, a source that is fenced answers with the transfer it made, one that is
 * not starts anew with its guest running. So a second attempt can neither lose the guest nor run it twice; more would only delay the undo.
 */
const transfer: Retry = { attempts: 3, backoffMs: 500, maxBackoffMs: 5_000 };

export const retries = { service, forward, undo, host, transfer } as const;

/** Milliseconds. A deadline is where waiting ends, not how long a step takes. */
export const deadlines = {
  service: 30_000,
  host: 60_000,
  plug: 90_000,
  unplug: 60_000,
  prepare: 120_000,
  guest: 60_000,
  /** From its first instruction until its guest is up. */
  boot: 600_000,
  /** The executor's own limit ends a script; this is for the way there and back. */
  scriptMargin: 30_000,
  /** Whoever asks for an approval knows the time that it has; this is for it to be looked at, also after a restart. */
  approvalMargin: 60_000,
  workflow: 3_600_000,
} as const;

/** How long a guest is waited for that a template needs, or that is only to be compared. */
export const patience = ({ needsAgent, moves }: { readonly needsAgent: boolean; readonly moves: boolean }, after = false) =>
  needsAgent
    ? { deadlineMs: deadlines.guest, retry: after && moves ? forward : host }
    : { deadlineMs: 20_000, retry: { attempts: 2, backoffMs: 200 } };

/** At least ten minutes, or ten times what sending the memory once takes at the bandwidth limit. */
export const transferDeadlineMs = (memoryMiB: number, maxBandwidthMiBps: number): number =>
  Math.min(43_200_000, Math.max(600_000, Math.ceil((memoryMiB / maxBandwidthMiBps) * 10_000)));

/** Each way of asking to its limit, and the two starts that there may be. */
export const shutDownDeadlineMs = ({ modes, timeoutMs }: { readonly modes: readonly string[]; readonly timeoutMs: number }): number =>
  modes.length * timeoutMs + 2 * deadlines.prepare;
