import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compile,
  decide,
  distributeImage,
  evolve,
  executorRank,
  initial,
  isLoss,
  LONGEST_RANK_SPAN_MS,
  RANK_MEMORY_MS,
  RANK_SPAN_MS,
  refusalOfBid,
  type KnownExecutor,
  type WorkflowInstance,
} from '../index.ts';

describe('rank', () => {
  const T = 1_800_000_000_000;
  test('a loss lasts 30 s, the next one while it lasts twice that, and it comes back step by step', () => {
    expect(executorRank([], T)).toEqual({ rank: 0 });
    expect(executorRank([T], T)).toEqual({ rank: 1, until: T + RANK_SPAN_MS });
    expect(executorRank([T], T + RANK_SPAN_MS)).toEqual({ rank: 0 });
    const two = [T, T + 10_000];
    expect(executorRank(two, T + 10_000)).toEqual({ rank: 2, until: T + 70_000 });
    expect(executorRank(two, T + 70_000)).toEqual({ rank: 1, until: T + 100_000 });
    expect(executorRank(two, T + 100_000)).toEqual({ rank: 0 });
  });

  test('it never lasts longer than half an hour a step, and is forgotten after the memory', () => {
    const many = Array.from({ length: 100 }, (_, i) => T + i);
    const { rank, until } = executorRank(many, T + 100);
    expect(rank).toBe(7);
    expect(until! - T).toBeLessThanOrEqual(LONGEST_RANK_SPAN_MS + 100);
    expect(executorRank(many, T + 100 + RANK_MEMORY_MS)).toEqual({ rank: 0 });
  });

  test('whoever has seen the same losses, in whatever order, has the same rank; one more never raises it', () => {
    const losses = fc.array(fc.integer({ min: 0, max: 4_000_000 }), { maxLength: 40 });
    fc.assert(
      fc.property(losses, fc.integer({ min: 0, max: 5_000_000 }), (list, now) => {
        const here = executorRank(list, now);
        expect(executorRank([...list].reverse(), now)).toEqual(here);
        expect(executorRank([...list, now], now).rank).toBeGreaterThanOrEqual(Math.min(7, here.rank));
      }),
      { numRuns: 500 },
    );
  });

  test('what was not its fault costs nothing', () => {
    const of = (code: string, detail?: unknown) => isLoss({ code, message: '', detail });
    expect([of('workflow.award_lapsed'), of('workflow.heartbeat_missed'), of('host.fault'), of('workflow.deadline_passed')]).toEqual(
      Array(4).fill(true),
    );
    expect([of('workflow.cancelled'), of('workflow.superseded'), of('workflow.reassigned'), of('executor.input_invalid')]).toEqual(
      Array(4).fill(false),
    );
    expect(of('workflow.deadline_passed', { of: 'workflow' })).toBe(false);
  });
});

describe('who may bid', () => {
  const request = {
    workflowId: 'op-1',
    definition: distributeImage,
    params: { image: 'base', format: 'raw', sizeMiB: 8, pool: 'shared', from: { kind: 'image', image: 'x' }, hosts: ['h2'] },
    subject: 'base',
  };
  const started = decide({ type: 'start', request, tenant: 'acme', at: '2026-11-23T09:00:00.000Z' }, initial);
  const state = (started.ok ? started.events : []).reduce<WorkflowInstance>(evolve, initial);
  const known: KnownExecutor = {
    executor: 'host:h1',
    group: 'agent-gateway',
    kinds: ['host.build-image'],
    labels: { pool: ['shared', 'other'] },
    health: 'up',
  };
  const refusal = (more: Partial<KnownExecutor> | undefined, from = 'agent-gateway'): string | undefined =>
    refusalOfBid({ executor: 'host:h1', task: 'build' }, from, more && { ...known, ...more }, state)?.code;

  test('the template has no fault', () => {
    expect(started.ok && started.events.map((e) => e.type.split('.').slice(2, 4).join('.'))).toEqual(['instance.started', 'task.offered']);
    expect(compile(distributeImage).faults).toEqual([]);
  });

  test('who runs the kind and bears the labels; every other one is refused with a code', () => {
    expect(refusal({})).toBeUndefined();
    expect(refusal(undefined)).toBe('executor.unknown');
    expect(refusal({ health: 'lost' })).toBe('executor.lost');
    expect(refusal({}, 'provisioning')).toBe('executor.foreign');
    expect(refusal({ group: 'provisioning' }, 'provisioning')).toBe('executor.foreign');
    expect(refusal({ kinds: ['host.transfer-image'] })).toBe('executor.kind_unfit');
    expect(refusal({ labels: { pool: ['other'] } })).toBe('executor.labels_unfit');
    expect(refusal({ labels: {} })).toBe('executor.labels_unfit');
  });
});
