import type { WorkflowState } from '@chrysalis/contracts';

export type Interval = Readonly<{ startedAt: string; endedAt: string }>;

/**
 * Milliseconds of a workflow in which neither a host nor a guest was at work: its duration without the union of their intervals.
 * Clocks of hosts may differ from ours: what lies outside the workflow's own time is cut off.
 */
export const controlPlaneMs = (startedAt: string, endedAt: string, busy: readonly Interval[]): number => {
  const [from, to] = [Date.parse(startedAt), Date.parse(endedAt)];
  const sorted = busy
    .map((i) => [Math.max(from, Date.parse(i.startedAt)), Math.min(to, Date.parse(i.endedAt))] as const)
    .filter(([a, b]) => b > a)
    .sort(([a], [b]) => a - b);
  let covered = 0;
  let reached = from;
  for (const [a, b] of sorted) {
    covered += Math.max(0, b - Math.max(a, reached));
    reached = Math.max(reached, b);
  }
  return Math.max(0, to - from - covered);
};

export type Figures = { downtimeMs: number; totalMs: number; transferredBytes: number; controlPlaneMs: number };
/** From a move's output; a morph transfers nothing, and its total is the time its steps took. */
export const figuresOf = (output: Readonly<Record<string, unknown>>, controlPlane: number, tookMs: number): Figures => {
  const number = (key: string, otherwise: number): number => (typeof output[key] === 'number' ? output[key] : otherwise);
  const downtimeMs = number('downtimeMs', 0);
  return {
    downtimeMs,
    // What a host counts of a save or a restart is its own part of it.
    totalMs: Math.max(downtimeMs, number('totalMs', tookMs)),
    transferredBytes: number('transferredBytes', 0),
    controlPlaneMs: controlPlane,
  };
};

/** What a move's workflow came to: cancelled is undone, unless what was done was left; stopped past the point of no return is failed. */
export const moveState = (state: WorkflowState, missing: readonly string[] = []): 'succeeded' | 'undone' | 'failed' => {
  switch (state) {
    case 'succeeded':
      return 'succeeded';
    case 'undone':
      return 'undone';
    case 'cancelled':
      return missing.length > 0 ? 'failed' : 'undone';
    case 'failed':
    case 'stopped':
    case 'running':
    case 'compensating':
      return 'failed';
  }
};
