import { hostTasks, workflowEvents as e, type EventsOf } from '@chrysalis/contracts';
import type { Sample } from '../fleet/samples.ts';

/** Both ends in ms since 1970. */
export type Span = { readonly from: number; readonly to: number };
/** When a step ran, to its end or its failure, and when it was undone. */
export type StepTimes = { readonly ran?: Span; readonly undone?: Span };

/** When things were in a run: all wall clock of one machine, in ms since 1970. */
export type Timeline = {
  /** The migration was asked for. */
  readonly requestedAt: number;
  readonly endedAt: number;
  readonly killedAt?: number;
  readonly steps: ReadonlyMap<string, StepTimes>;
  /** The guest ran on neither host, as the hypervisors say. */
  readonly stopped?: Span;
  readonly samples: readonly Sample[];
  /** The client's longest time between two answers; absent where there were none. */
  readonly longestGap?: Span;
};

/** An event of `GET /v1/workflows/{id}/history`. */
export type HistoryEvent = { readonly type: string; readonly at: string; readonly data: unknown };

/** The steps of a workflow by name, and the time its guest was stopped, from the workflow's events in their order. */
export const timesOf = (history: readonly HistoryEvent[]): Pick<Timeline, 'steps' | 'stopped'> => {
  const steps = new Map<string, StepTimes>();
  const sent = new Map<string, number>();
  let stopped: Span | undefined;
  const note = (task: string, times: StepTimes): void => void steps.set(task, { ...steps.get(task), ...times });
  for (const { at, ...entry } of history) {
    const { type, data: d } = entry as EventsOf<typeof e>;
    const since = (action: 'run' | 'compensate', task: string): Span => ({
      from: sent.get(`${action}/${task}`) ?? Date.parse(at),
      to: Date.parse(at),
    });
    if (type === e.taskDispatched.type) {
      const key = `${d.action}/${d.task}`;
      if (!sent.has(key)) sent.set(key, Date.parse(d.at)); // of several attempts the first
    } else if (type === e.taskSucceeded.type) {
      note(d.task, { ran: { from: Date.parse(d.startedAt), to: Date.parse(d.endedAt) } });
      stopped = stoppedIn(d.output) ?? stopped;
    } else if (type === e.taskFailed.type && d.final) note(d.task, { ran: since('run', d.task) });
    else if (type === e.taskCompensated.type) note(d.task, { undone: since('compensate', d.task) });
  }
  return { steps, ...(stopped ? { stopped } : {}) };
};

const Stopped = hostTasks.transfer.output.pick({ stoppedAt: true, resumedAt: true });
/** A transfer answers when the guest last ran on the source, and first on the target. */
const stoppedIn = (output: Readonly<Record<string, unknown>>): Span | undefined => {
  const { success, data } = Stopped.safeParse(output);
  return success ? { from: Date.parse(data.stoppedAt), to: Date.parse(data.resumedAt) } : undefined;
};
