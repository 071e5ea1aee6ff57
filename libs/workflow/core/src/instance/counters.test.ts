import { describe, expect, it } from '@jest/globals';
import type { WorkflowDefinition } from '@chrysalis/contracts';
import fc from 'fast-check';
import type { Draft } from './draft.ts';
import { decide, evolve, initial, isInstance, nextTimerAt, toArray, viewOf, type Instance, type WorkflowInstance } from '../index.ts';
import { CANCELLED } from './retry.ts';
import { recount } from './recount.ts';
import type { List } from './state.ts';
import { anyDefinition, anyParams } from '../test-kit/any-definition.ts';
import { anySteps, commandOf, type Step } from '../test-kit/any-steps.ts';

const listed = (list: List): number[] => (list ? [list.head, ...listed(list.tail)] : []);
/** What is counted beside the tasks, and the tasks themselves. Order within a level of priority is nobody's promise. */
const counted = (state: Instance) => ({
  open: state.open,
  retrying: state.retrying,
  decisiveOpen: state.decisiveOpen,
  decisiveRetrying: state.decisiveRetrying,
  unfinished: state.unfinished,
  committed: state.committed,
  cause: state.cause,
  causedBy: state.causedBy,
  ready: state.ready.map((l) => listed(l).sort((a, b) => a - b)),
  tasks: toArray(state.tasks),
});
const anew = (state: Instance): Instance => {
  const draft: Draft = { ...state };
  recount(draft);
  return draft;
};

const start = Date.parse('2026-01-01T00:00:00.000Z');
const seen: Record<string, number> = {};
const run = (definition: WorkflowDefinition, steps: readonly Step[], look: (state: Instance) => void): void => {
  let state: WorkflowInstance = initial;
  let now = start;
  const request = { workflowId: 'w', definition, params: anyParams, subject: 's' };
  const first = decide({ type: 'start', request, tenant: 't', at: new Date(start).toISOString() }, state);
  if (!first.ok) throw new Error(first.rejection.code);
  for (const e of first.events) state = evolve(state, e);
  for (const step of steps) {
    const next = commandOf(step, state, now);
    now = next.now;
    const decision = decide(next.command, state);
    const name = next.command.type === 'change' ? next.command.change.type : next.command.type;
    const key = `${name} ${decision.ok ? 'taken' : 'refused'}`;
    seen[key] = (seen[key] ?? 0) + 1;
    if (!decision.ok) continue;
    if (isInstance(state) && state.end && decision.events.length === 0 && state.status !== 'stopped') return;
    for (const event of decision.events) {
      state = evolve(state, event);
      if (isInstance(state)) look(state);
    }
    if (isInstance(state)) looksAgain(state, now, next.command.type === 'tick' && decision.events.length === 0);
  }
};

/** No limbo: somebody looks again, and that does something. */
const looksAgain = (state: Instance, now: number, idleTick: boolean): void => {
  const due = nextTimerAt(state);
  if (due === undefined && !state.end) throw new Error('nobody looks again: it is in limbo');
  if (idleTick && due !== undefined && due <= now) throw new Error('a timer is due, and looking at it changes nothing');
};

describe('any workflow, with any changes', () => {
  it('has counters that are those of its tasks, at every event', () => {
    fc.assert(
      fc.property(anyDefinition(7), anySteps(60), (definition, steps) => {
        run(definition, steps, (state) => {
          if (state.status !== 'running' || state.end) return;
          if (state.committed && state.cause?.code === CANCELLED) return; // given up: its end is the next event of the same decision
          const [again, live] = [counted(anew(state)), counted(state)];
          if (JSON.stringify(again) !== JSON.stringify(live)) expect(again).toEqual(live);
        });
      }),
      { numRuns: 600 },
    );
    if (process.env['SEEN']) console.error(JSON.stringify(seen));
    for (const change of ['pause', 'add-task', 'duplicate-task', 'skip-task', 'replace-task', 'rewire', 'reassign', 'set-limits'])
      expect(seen[`${change} taken`]).toBeGreaterThan(10);
    for (const command of ['mark-done', 'retry-from', 'bid', 'heartbeat', 'cancel', 'undo'])
      expect(seen[`${command} taken`]).toBeGreaterThan(3);
  });

  it('can be looked at, at every event', () => {
    fc.assert(
      fc.property(anyDefinition(6), anySteps(40), (definition, steps) => run(definition, steps, (state) => void viewOf(state))),
      { numRuns: 150 },
    );
  });
});
