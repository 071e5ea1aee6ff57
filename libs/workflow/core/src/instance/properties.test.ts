import { describe, expect, it } from '@jest/globals';
import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { everyStepFails } from '@chrysalis/testing';
import fc from 'fast-check';
import {
  decide,
  evolve,
  initial,
  isInstance,
  validateDefinition,
  type Instance,
  type WorkflowCommand,
  type WorkflowInstance,
} from '../index.ts';
import { pop, push, type Heap } from '../structures/heap.ts';
import { anyDefinition, anyParams } from '../test-kit/any-definition.ts';
import { get, set, toArray, vectorOf } from '../structures/vector.ts';

const route = { mode: 'group', group: 'provisioning' } as const;
const retry = fc.option(fc.record({ attempts: fc.integer({ min: 1, max: 3 }), backoffMs: fc.constantFrom(0, 10, 500) }), {
  nil: undefined,
});

/** Any DAG: a task depends on earlier ones, by `after` or by a reference. */
const taskAt = (index: number): fc.Arbitrary<TaskDefinition> =>
  fc
    .record({
      before: index === 0 ? fc.constant<number[]>([]) : fc.uniqueArray(fc.integer({ min: 0, max: index - 1 }), { maxLength: 3 }),
      byReference: fc.boolean(),
      undo: fc.boolean(),
      skipped: fc.integer({ min: 0, max: 9 }),
      decisive: fc.integer({ min: 0, max: 9 }),
      deadlineMs: fc.constantFrom(50, 1_000, 20_000),
      retry,
      undoRetry: retry,
    })
    .map((t): TaskDefinition => {
      const names = t.before.map((n) => `t${n}`);
      return {
        name: `t${index}`,
        kind: 'test.do',
        summary: 'x',
        input: t.byReference ? { from: names.map((n) => `\${tasks.${n}.output.v}`) } : {},
        ...(t.byReference ? {} : { after: names }),
        ...(t.skipped === 0 ? { when: 'params.never' } : {}),
        ...(t.decisive === 0 ? { pointOfNoReturn: true } : {}),
        ...(t.retry ? { retry: t.retry } : {}),
        deadlineMs: t.deadlineMs,
        route,
        ...(t.undo
          ? {
              compensation: {
                kind: 'test.undo',
                input: { v: `\${tasks.t${index}.output.v}` },
                deadlineMs: 500,
                route,
                ...(t.undoRetry ? { retry: t.undoRetry } : {}),
              },
            }
          : {}),
      };
    });
const definitionOf = (max: number): fc.Arbitrary<WorkflowDefinition> =>
  fc
    .integer({ min: 1, max })
    .chain((n) => fc.tuple(...Array.from({ length: n }, (_, i) => taskAt(i))))
    .map((tasks) => ({ name: 'any', version: 1, summary: 'x', params: { never: { type: 'boolean' } }, tasks, deadlineMs: 500_000 }));

const harness = (definition: WorkflowDefinition, seeds: number, singleFaults: boolean) =>
  everyStepFails({
    definition,
    params: { never: false },
    executors: { 'test.do': () => ({ v: 1 }) },
    unreachable: definition.tasks.filter((t) => t.when).map((t) => t.name),
    seeds,
    singleFaults,
  });

describe('any workflow', () => {
  it('of a few tasks survives each failure of each step', () => {
    fc.assert(
      fc.property(definitionOf(6), (definition) => {
        expect(harness(definition, 5, true).violations.slice(0, 2)).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it('of many tasks survives many failures at once', () => {
    fc.assert(
      fc.property(definitionOf(40), (definition) => {
        expect(harness(definition, 12, false).violations.slice(0, 2)).toEqual([]);
      }),
      { numRuns: 40, endOnFailure: true },
    );
  });

  it('with items, offers, hedges and heartbeats keeps every invariant, whatever fails and whatever is changed while it runs', () => {
    const executors = { 'test.do': () => ({ v: 1, list: ['a', 'b'] }) };
    fc.assert(
      fc.property(anyDefinition(6), (definition) => {
        const unreachable = definition.tasks.map((t) => t.name);
        const { violations } = everyStepFails({ definition, params: anyParams, executors, unreachable, seeds: 12, singleFaults: false });
        // Its items may come from a task that was skipped: then it fails by itself, which is no fault of the engine.
        expect(violations.filter((v) => !v.message.endsWith('not succeeded')).slice(0, 2)).toEqual([]);
      }),
      { numRuns: 25, endOnFailure: true },
    );
  });

  it('is refused for a cycle, wherever it is, and for nothing else', () => {
    fc.assert(
      fc.property(definitionOf(12), fc.nat(), fc.nat(), (definition, from, to) => {
        expect(validateDefinition(definition)).toEqual([]);
        const n = definition.tasks.length;
        const [low, high] = [Math.min(from % n, to % n), Math.max(from % n, to % n)];
        const tied = definition.tasks.map((t, i) =>
          i === low ? { ...t, after: [...(t.after ?? []), `t${high}`] } : i === high ? { ...t, after: [...(t.after ?? []), `t${low}`] } : t,
        );
        expect(validateDefinition({ ...definition, tasks: tied }).map((f) => f.code)).toEqual(['workflow.cycle']);
      }),
    );
  });
});

describe('what a state is made of', () => {
  it('a vector is as an array, and an earlier one stays what it was', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(), { minLength: 1, maxLength: 2000 }),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 50 }),
        (items, changes) => {
          const first = vectorOf(items);
          const expected = [...items];
          let vector = first;
          for (const [i, value] of changes) {
            vector = set(vector, i % items.length, value);
            expected[i % items.length] = value;
          }
          expect(toArray(vector)).toEqual(expected);
          expect(toArray(first)).toEqual(items);
          expect(items.every((item, i) => get(first, i) === item)).toBe(true);
        },
      ),
    );
  });
  it('a heap gives its entries in order', () => {
    const before = (a: number, b: number): boolean => a < b;
    fc.assert(
      fc.property(fc.array(fc.integer()), (items) => {
        let heap = items.reduce<Heap<number>>((h, x) => push(h, x, before), undefined);
        const out: number[] = [];
        for (; heap; heap = pop(heap, before)) out.push(heap.least);
        expect(out).toEqual([...items].sort((a, b) => a - b));
      }),
    );
  });
});

describe('10,000 tasks', () => {
  const many = (after: (i: number) => string[], length: number): WorkflowDefinition => ({
    name: 'many',
    version: 1,
    summary: 'x',
    params: {},
    tasks: Array.from({ length }, (_, i) => ({
      name: `t${i}`,
      kind: 'test.do',
      summary: 'x',
      input: {},
      after: after(i),
      deadlineMs: 1_000_000,
      route,
    })),
    deadlineMs: 10_000_000,
  });
  /** Reports every task in the order it was given out. */
  const run = (definition: WorkflowDefinition): WorkflowInstance => {
    let state: WorkflowInstance = initial;
    let ms = Date.parse('2026-01-01T00:00:00Z');
    const queue: { task: string; token: number }[] = [];
    const apply = (command: WorkflowCommand): void => {
      const decision = decide(command, state);
      if (!decision.ok) throw new Error(decision.rejection.code);
      state = fold(evolve, state, decision.events);
      for (const e of decision.events) if (e.type === 'chrysalis.workflow.task.dispatched.v1') queue.push(e.data);
    };
    const iso = (): string => new Date(ms++).toISOString();
    apply({ type: 'start', request: { workflowId: 'w', definition, params: {}, subject: 's' }, tenant: 't', at: iso() });
    for (const { task, token } of queue) {
      const at = iso();
      const report = {
        workflowId: 'w',
        task,
        action: 'run' as const,
        attempt: 1,
        token,
        executor: 'x',
        outcome: { ok: true as const, output: {} },
        startedAt: at,
        endedAt: at,
      };
      apply({ type: 'report', report, at });
    }
    return state;
  };

  it.each([
    ['in parallel', () => []],
    ['in a chain', (i: number) => (i === 0 ? [] : [`t${i - 1}`])],
    ['in a tree', (i: number) => (i === 0 ? [] : [`t${Math.floor((i - 1) / 100)}`])],
  ] as const)('%s: each is given out and reported, without a stack or a limit that they run into', (_, after) => {
    const state = run(many(after as (i: number) => string[], 10_000));
    expect(isInstance(state) && (state as Instance).end?.state).toBe('succeeded');
  });
});
