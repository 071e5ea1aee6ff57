import { describe, expect, test } from '@jest/globals';
import { workflowEvents as e } from '@chrysalis/contracts';
import { Samples } from '../fleet/samples.ts';
import { timesOf, type HistoryEvent } from './timeline.ts';

const at = (ms: number): string => new Date(1_800_000_000_000 + ms).toISOString();
const span = (from: number, to: number): { from: number; to: number } => ({ from: 1_800_000_000_000 + from, to: 1_800_000_000_000 + to });
const dispatched = (task: string, action: 'run' | 'compensate', ms: number): HistoryEvent => ({
  type: e.taskDispatched.type,
  at: at(ms),
  data: { task, action, at: at(ms) },
});
const succeeded = (task: string, from: number, to: number, output: object = {}): HistoryEvent => ({
  type: e.taskSucceeded.type,
  at: at(to + 9),
  data: { task, startedAt: at(from), endedAt: at(to), output },
});
const failed = (task: string, ms: number, final: boolean): HistoryEvent => ({
  type: e.taskFailed.type,
  at: at(ms),
  data: { task, final },
});

describe('the times of a workflow', () => {
  test('a step ran from its executor’s start to its end; a transfer says when the guest stood still', () => {
    const output = { stoppedAt: at(300), resumedAt: at(370), downtimeMs: 70 };
    const { steps, stopped } = timesOf([dispatched('transfer', 'run', 0), succeeded('transfer', 5, 400, output)]);
    expect(steps.get('transfer')).toEqual({ ran: span(5, 400) });
    expect(stopped).toEqual(span(300, 370));
  });

  test('a step that failed for good ran since it was first given out; one that is tried again has not failed', () => {
    const history = [dispatched('a', 'run', 10), failed('a', 20, false), dispatched('a', 'run', 30), failed('a', 50, true)];
    expect(timesOf(history.slice(0, 3)).steps.size).toBe(0);
    expect(timesOf(history)).toEqual({ steps: new Map([['a', { ran: span(10, 50) }]]) });
  });

  test('its undoing is a time of its own', () => {
    const compensated = { type: e.taskCompensated.type, at: at(90), data: { task: 'a' } };
    const { steps } = timesOf([dispatched('a', 'run', 0), succeeded('a', 1, 20), dispatched('a', 'compensate', 70), compensated]);
    expect(steps.get('a')).toEqual({ ran: span(1, 20), undone: span(70, 90) });
  });
});

describe('the samples of a client', () => {
  test('all of them while they are few', () => {
    const samples = new Samples(4);
    for (const i of [1, 2, 3, 4]) samples.add(i * 10, i, false);
    expect(samples.all()).toEqual([1, 2, 3, 4].map((i) => [i * 10, i, 0]));
  });

  test('bounded, in order, and never without the slowest or a failure', () => {
    const samples = new Samples(8);
    for (let i = 0; i < 1000; i += 1) samples.add(i, i === 501 ? 300 : 1, i === 777);
    const kept = samples.all();
    expect(kept.length).toBeGreaterThanOrEqual(4);
    expect(kept.length).toBeLessThanOrEqual(8);
    expect(kept.map(([t]) => t)).toEqual(kept.map(([t]) => t).toSorted((a, b) => a - b));
    expect(kept).toContainEqual([501, 300, 0]);
    expect(kept).toContainEqual([777, 1, 1]);
  });
});
