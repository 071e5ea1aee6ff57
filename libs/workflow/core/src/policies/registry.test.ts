import { describe, expect, test } from '@jest/globals';
import { PolicySpec, type WorkflowDefinition } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import { parseEventCondition, type PolicyEvent } from './condition.ts';
import { policyFaults } from './faults.ts';
import { policyDecider, policyWorkflowId } from './registry.ts';
import { dueSlots, nextSlot } from './schedule.ts';

const STATE_CHANGED = 'chrysalis.resource-allocation.host.state-changed.v1';
const at = '2026-11-23T09:00:00.000Z';
const template = {
  name: 'drain',
  version: 1,
  summary: 'x',
  params: { hostId: { type: 'string' }, concurrency: { type: 'number' }, note: { type: 'string', required: false } },
  tasks: [],
  deadlineMs: 1,
} as unknown as WorkflowDefinition;
const spec = (change: Partial<PolicySpec> = {}): PolicySpec =>
  PolicySpec.parse({
    name: 'drain-retiring',
    summary: 'Drain',
    on: { event: STATE_CHANGED, when: 'event.data.to == "retiring"' },
    start: { template: 'drain@1', params: { hostId: '${event.data.hostId}', concurrency: 2 }, subject: '${event.data.hostId}' },
    ...change,
  });
const event = (data: unknown = { hostId: 'h1', from: 'enabled', to: 'retiring', reason: 'old' }): PolicyEvent => ({
  id: '0199c0de-1000-7000-8000-000000000020',
  type: STATE_CHANGED,
  subject: 'host-h1',
  time: at,
  tenant: 'acme',
  actor: 'user:anna',
  data,
});
const cause = { kind: 'event', eventId: event().id, eventType: STATE_CHANGED, subject: 'host-h1' } as const;
const established = {
  type: 'chrysalis.workflow.policy.established.v1',
  data: { name: 'drain-retiring', revision: 1, tenant: 'acme', spec: spec(), at },
} as const;
const enabled = { type: 'chrysalis.workflow.policy.enabled.v1', data: { name: 'drain-retiring', reason: 'go', at } } as const;
const establish = (s: PolicySpec, tenant = 'acme') => ({ type: 'establish', spec: s, tenant, template, at }) as const;
const to = (type: 'enable' | 'disable' | 'remove') => ({ type, name: 'drain-retiring', reason: 'go', at }) as const;

describe('a policy', () => {
  test('is established disabled; the same again says nothing, another content is a revision', () => {
    given(policyDecider).when(establish(spec())).then([established]);
    given(policyDecider, [established]).when(establish(spec())).thenNothing();
    const other = spec({ summary: 'Drain them' });
    const next = given(policyDecider, [established, enabled])
      .when(establish(other))
      .then([{ ...established, data: { ...established.data, revision: 2, spec: other } }]);
    expect(next).toMatchObject({ status: 'enabled', revision: 2 });
    given(policyDecider, [established]).when(establish(spec(), 'other')).thenRejected('workflow-policy.name_taken');
  });

  test('is enabled, disabled and removed, each once; a name that was removed is free', () => {
    given(policyDecider, [established]).when(to('enable')).then([enabled]);
    given(policyDecider, [established, enabled]).when(to('enable')).thenNothing();
    given(policyDecider, [established]).when(to('disable')).thenNothing();
    given(policyDecider).when(to('enable')).thenRejected('workflow-policy.unknown');
    const removed = { type: 'chrysalis.workflow.policy.removed.v1', data: enabled.data } as const;
    given(policyDecider, [established, enabled]).when(to('remove')).then([removed]);
    given(policyDecider, [established, removed]).when(to('remove')).thenRejected('workflow-policy.unknown');
    expect(given(policyDecider, [established, removed]).when(establish(spec(), 'other')).decision).toMatchObject({ ok: true });
  });

  test('fires with what the event gave, under an id that follows from the event', () => {
    const fire = { type: 'fire', cause, scope: { event: event() }, template, at } as const;
    given(policyDecider, [established, enabled])
      .when(fire)
      .then([
        {
          type: 'chrysalis.workflow.policy.fired.v1',
          data: {
            name: 'drain-retiring',
            revision: 1,
            workflowId: `by-policy-drain-retiring-${cause.eventId}`,
            template: 'drain@1',
            params: { hostId: 'h1', concurrency: 2 },
            subject: 'h1',
            cause,
            at,
          },
        },
      ]);
    given(policyDecider, [established]).when(fire).thenRejected('workflow-policy.disabled');
    given(policyDecider, [established, enabled])
      .when({ ...fire, scope: { event: event({ hostId: 7 }) } })
      .thenRejected('workflow-policy.params_invalid');
    given(policyDecider, [established, enabled])
      .when({ ...fire, template: undefined })
      .thenRejected('workflow-policy.params_invalid');
  });

  test('has an id for each slot of its schedule', () => {
    expect(policyWorkflowId('audit', { kind: 'schedule', at: '2026-11-23T03:00:00.000Z', missed: 4 })).toBe(
      'by-policy-audit-20261123T030000Z',
    );
  });
});

describe('the faults of a policy', () => {
  const codes = (s: PolicySpec, known = true) => policyFaults(s, known ? template : undefined).map((f) => `${f.place} ${f.code}`);

  test('all at once', () => {
    expect(policyFaults(spec(), template)).toEqual([]);
    const start = {
      template: 'drain@9',
      params: { hostId: '${event.data.ghost}', concurrency: '${params.x}', more: '${event.tenant}', list: [{ x: '${' }] },
      subject: '${schedule.at}',
    };
    expect(codes(spec({ on: { event: 'chrysalis.workflow.nothing.happened.v1', when: '1 +' }, start }), false)).toEqual([
      'on.event policy.event_unknown',
      'on.when workflow.condition_malformed',
      'start.params.concurrency workflow.reference_malformed',
      'start.params.list.0.x workflow.reference_malformed',
      'start.subject policy.reference_unknown',
      'start.template workflow.template_unknown',
    ]);
  });

  test('what is too large', () => {
    const start = (host: string) => spec({ start: { template: 'drain@1', params: { hostId: host, concurrency: 1 }, subject: 'x' } });
    expect(codes(start('x'.repeat(70_000)))).toEqual(['start.params policy.too_large']);
    expect(codes(start('${event.id}'.repeat(101)))).toEqual(['start policy.too_large']);
  });

  test('params against the types of the template and of the event', () => {
    const start = (params: Record<string, unknown>) => spec({ start: { template: 'drain@1', params, subject: 'x' } });
    expect(codes(start({ hostId: 7, extra: 1 }))).toEqual([
      'start.params.hostId workflow.param_type',
      'start.params.concurrency workflow.param_missing',
      'start.params.extra workflow.param_undeclared',
    ]);
    expect(codes(start({ hostId: '${event.data}', concurrency: '${event.data.hostId}' }))).toEqual([
      'start.params.hostId workflow.param_type',
      'start.params.concurrency workflow.param_type',
    ]);
    expect(codes(start({ hostId: 'host ${event.data.hostId.deep}', concurrency: 1 }))).toEqual([
      'start.params.hostId policy.reference_unknown',
    ]);
  });

  test.each([
    ['0 3 * *', 'policy.schedule_malformed'],
    ['? * * * *', 'policy.schedule_malformed'],
    ['61 * * * *', 'policy.schedule_malformed'],
    ['0 0 30 2 *', 'policy.schedule_malformed'],
    ['2026-01-01T00:00:00', 'policy.schedule_malformed'],
  ])('%s is no schedule', (schedule, code) => {
    const start = { template: 'drain@1', params: { hostId: 'h1', concurrency: 1 }, subject: 'x' };
    expect(codes(spec({ on: { schedule }, start }))).toEqual([`on.schedule ${code}`]);
    expect(codes(spec({ on: { schedule: '0 3 * * *', timezone: 'Mars/Olympus' }, start }))).toEqual([`on.schedule ${code}`]);
  });
});

describe('a condition on an event', () => {
  const holds = (source: string, of = event()): unknown => {
    const said: string[] = [];
    const condition = parseEventCondition(source, (code) => said.push(code));
    return condition ? condition.evaluate(of) : said;
  };
  test('sees the event', () => {
    expect(holds('event.data.to == "retiring" && event.tenant in ["acme"]')).toEqual({ ok: true, value: true });
    expect(holds('has(event.data.replacement)')).toEqual({ ok: true, value: false });
    expect(holds('event.data.ghost == 1')).toMatchObject({ ok: false });
    expect(holds('event.data.to')).toMatchObject({ ok: false });
  });
  test('cannot take long', () => {
    expect(holds('event.data.to.matches("(a+)+b")')).toEqual(['workflow.condition_refused']);
    expect(holds('[1].all(x, [2].all(y, x == y))')).toEqual(['workflow.condition_refused']);
    expect(holds('params.x == 1')).toEqual(['workflow.condition_malformed']);
    const many = event({ list: Array.from({ length: 1_900 }, (_, i) => i) });
    const before = process.cpuUsage();
    expect(holds('event.data.list.all(x, x in event.data.list)', many)).toMatchObject({ ok: true });
    expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
    expect(holds('event.data.list.all(x, x in event.data.list)', event({ list: Array(100_000).fill(1) }))).toMatchObject({ ok: false });
    expect(holds('event.data.text == ""', event({ text: 'x'.repeat(1_000_000) }))).toMatchObject({ ok: false });
  });
});

describe('a schedule', () => {
  test('has its next slot in its own zone, through a change of the clocks', () => {
    expect(nextSlot('0 3 * * *', undefined, at)).toBe('2026-11-24T03:00:00.000Z');
    expect(nextSlot('0 3 * * *', 'Europe/Berlin', '2026-10-24T12:00:00.000Z')).toBe('2026-10-25T02:00:00.000Z');
    expect(nextSlot('0 3 * * *', 'Europe/Berlin', '2026-07-01T12:00:00.000Z')).toBe('2026-07-02T01:00:00.000Z');
  });
  test('serves only the latest of the slots that were missed', () => {
    const due = (now: string) => dueSlots('*/5 * * * *', undefined, '2026-11-23T09:00:00.000Z', now);
    expect(due('2026-11-23T08:59:59.999Z')).toBeUndefined();
    expect(due('2026-11-23T09:00:00.000Z')).toEqual({ latest: '2026-11-23T09:00:00.000Z', missed: 0 });
    expect(due('2026-11-23T09:17:00.000Z')).toEqual({ latest: '2026-11-23T09:15:00.000Z', missed: 3 });
    expect(due('2027-11-23T09:17:00.000Z')).toEqual({ latest: '2027-11-23T09:15:00.000Z', missed: 100 });
  });
});
