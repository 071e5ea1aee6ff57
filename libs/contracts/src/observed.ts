import { z } from 'zod';
import { Cause, Count, Timestamp } from './shapes.ts';

/**
 * What a VM was seen to do, whatever was wanted of it:
 * - `running`: its CPUs run; `paused`: someone on the host stopped them, or the guest sleeps;
 * - `shut-down`: the guest powered itself off, or was stopped as asked; `panicked`: it told its hypervisor that it panicked;
 * - `io-error`: stopped at a disk that takes no more (a full pool); `internal-error`: its hypervisor cannot go on;
 * - `gone`: its process ended, and not by the guest's wish; `unknown`: its hypervisor does not answer.
 */
export const ObservedState = z.enum(['running', 'paused', 'shut-down', 'panicked', 'io-error', 'internal-error', 'gone', 'unknown']);
export type ObservedState = z.infer<typeof ObservedState>;

/** Times are the host's clock. */
export const Observed = z.object({
  state: ObservedState,
  since: Timestamp,
  /** Why it is so, where that is known. */
  cause: Cause.optional(),
  /** Resets since the VM began to run on this host, and the last of them. */
  resets: Count,
  lastResetAt: Timestamp.optional(),
  /** Changes since then, with those that were not told one by one. */
  changes: Count,
});
export type Observed = z.infer<typeof Observed>;

/**
 * Whether an observation is of the VM as it is wanted now: on that host, at that epoch or above. A guest that was taken back after its
 * fence runs on under a higher epoch than its VM has; what the host that it left had seen goes with the switch-over.
 */
export const speaksOf = (
  seen: { readonly hostId: string; readonly epoch: number },
  vm: { readonly hostId?: string | undefined; readonly epoch: number },
): boolean => seen.hostId === vm.hostId && seen.epoch >= vm.epoch;
