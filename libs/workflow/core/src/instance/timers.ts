import { pop } from '../structures/heap.ts';
import { isStale } from './stale.ts';
import { isInstance, sooner, type Instance, type TimerEntry, type WorkflowInstance } from './state.ts';
import { get } from '../structures/vector.ts';

/** When somebody has to look again although nobody reported. `at` is ISO 8601; `task` is absent for the instance's own deadline. */
export type Timer = { readonly at: string; readonly kind: TimerEntry['kind'] | 'instance-deadline'; readonly task?: string };

/** Every timer that would do something, the soonest first. O(n log n): for people and tests; see `nextTimerAt`. */
export const nextTimers = (state: WorkflowInstance): readonly Timer[] => {
  if (!isInstance(state)) return [];
  const timers: (Timer & { ms: number })[] = [];
  for (let heap = state.timers; heap; heap = pop(heap, sooner)) {
    const { at, kind, index } = heap.least;
    if (acts(state, heap.least)) timers.push({ at: iso(at), kind, task: state.graph.nodes[index]!.definition.name, ms: at });
  }
  if (state.status === 'running') timers.push({ at: iso(state.deadlineAt), kind: 'instance-deadline', ms: state.deadlineAt });
  return timers.sort((a, b) => a.ms - b.ms).map(({ ms: _, ...timer }) => timer);
};

/** The soonest of them in milliseconds since 1970, or `undefined` once the instance has ended. */
export const nextTimerAt = (state: WorkflowInstance): number | undefined => {
  if (state.status === 'queued') return Date.parse(state.expiresAt);
  if (!isInstance(state)) return undefined;
  const first = firstActing(state)?.at;
  if (state.status !== 'running') return first;
  return first === undefined ? state.deadlineAt : Math.min(first, state.deadlineAt);
};

/** The first entry that would do something; what stands before it waits for a decision elsewhere. Nothing is tried again once `expired`. */
export const firstActing = (state: Instance, expired = false): TimerEntry | undefined => {
  for (let heap = state.timers; heap; heap = pop(heap, sooner)) if (acts(state, heap.least, expired)) return heap.least;
  return undefined;
};

const ofWhatRuns: ReadonlySet<TimerEntry['kind']> = new Set(['deadline', 'begin', 'heartbeat']);

/**
 * What gives something out acts only while work goes forward: not while a failure waits for a point of no return to be decided, and not
 * while the instance is paused.
 */
const acts = (state: Instance, entry: TimerEntry, expired = false): boolean => {
  const task = get(state.tasks, entry.index);
  if (isStale(entry, task)) return false;
  const { kind } = entry;
  if (ofWhatRuns.has(kind)) return true;
  if (state.paused) return false;
  if (task.phase === 'compensation-retrying') return true;
  if (expired || state.status !== 'running') return false;
  return !state.cause || state.committed || (kind !== 'hedge' && state.graph.nodes[entry.index]!.definition.pointOfNoReturn === true);
};

export const iso = (ms: number): string => new Date(ms).toISOString();
