import { describe, expect, it } from '@jest/globals';
import type { InstanceQueued, WorkflowRequest } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing';
import { workflowDecider } from '../instance/decide.ts';
import { isOver } from '../instance/state.ts';
import { nextTimerAt } from '../instance/timers.ts';
import { viewOf } from '../views/view.ts';

const at = '2026-01-01T00:00:00.000Z';
const later = '2026-01-01T01:00:00.000Z';
const expiresAt = '2026-01-02T00:00:00.000Z';
const common = { workflowId: 'op-1', subject: 'vm-1', name: 'audit' } as const;
const queued: InstanceQueued = {
  type: 'chrysalis.workflow.instance.queued.v1',
  data: { ...common, tenant: 'acme', version: 1, summary: 's', tasks: 1, priority: 5, at, expiresAt },
};
const task = {
  name: 'a',
  kind: 'host.check',
  summary: '',
  input: {},
  deadlineMs: 1_000,
  route: { mode: 'group', group: 'workflow' },
} as const;
const request: WorkflowRequest = {
  workflowId: 'op-1',
  subject: 'vm-1',
  params: {},
  definition: { name: 'audit', version: 1, summary: 's', params: {}, tasks: [task], deadlineMs: 60_000 },
};

describe('a request in the queue', () => {
  it('starts as one that never waited, its deadline counted from the start', () => {
    const { decision } = given(workflowDecider, [queued]).when({ type: 'start', request, tenant: 'acme', at: later });
    expect(decision).toMatchObject({
      ok: true,
      events: [{ type: 'chrysalis.workflow.instance.started.v1', data: { deadlineAt: '2026-01-01T01:01:00.000Z' } }, {}],
    });
    expect(decision).toEqual(given(workflowDecider).when({ type: 'start', request, tenant: 'acme', at: later }).decision);
  });
  it('is cancelled with nothing to undo, and does not start any more', () => {
    const end = { ...common, state: 'cancelled', cause: { code: 'workflow.cancelled', message: 'enough' }, output: {}, at: later } as const;
    const ended = { type: 'chrysalis.workflow.instance.ended.v1', data: end } as const;
    given(workflowDecider, [queued]).when({ type: 'cancel', reason: 'enough', at: later }).then([ended]);
    given(workflowDecider, [queued, ended]).when({ type: 'start', request, tenant: 'acme', at: later }).thenNothing();
    given(workflowDecider, [queued, ended]).when({ type: 'cancel', reason: 'enough', at: later }).thenRejected('workflow.ended');
  });
  it('ends at its time, and not before', () => {
    given(workflowDecider, [queued]).when({ type: 'tick', at: later }).thenNothing();
    const { decision } = given(workflowDecider, [queued]).when({ type: 'tick', at: expiresAt });
    expect(decision).toMatchObject({
      ok: true,
      events: [{ data: { state: 'undone', cause: { code: 'workflow.queue_deadline_passed' } } }],
    });
  });
  it('is shown, is not over, and has a timer', () => {
    const state = given(workflowDecider, [queued]).state();
    expect(viewOf(state)).toMatchObject({ state: 'queued', name: 'audit', priority: 5, queuedAt: at, tasks: [] });
    expect([isOver(state), nextTimerAt(state)]).toEqual([false, Date.parse(expiresAt)]);
  });
});
