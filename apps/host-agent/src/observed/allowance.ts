/** At once so many times, and then once in so long, for ever. */
export const BURST = 8;
export const REFILL_MS = 30_000;

/** What a VM may still say. A guest that restarts in a loop says so often, and then how often. */
export type Allowance = { readonly left: number; readonly atMs: number };
export const full = (atMs: number): Allowance => ({ left: BURST, atMs });

/** The allowance after one more was said; undefined where none is left. */
export const spend = ({ left, atMs }: Allowance, nowMs: number): Allowance | undefined => {
  const refilled = Math.min(BURST, left + Math.max(0, nowMs - atMs) / REFILL_MS);
  return refilled < 1 ? undefined : { left: refilled - 1, atMs: nowMs };
};
