import { describe, expect, test } from '@jest/globals';
import { everyStepFails, expectEveryStepFails, sampleWorkflows, type HarnessReport } from './workflow-harness.ts';

/** Between them the samples get 300 in CI; `npm run harness -- --seeds 10000` gives each of them 10,000. */
const SEEDS = 60;
const byName = (name: string) => sampleWorkflows.find((s) => s.name === name)!;
const reports = new Map<string, HarnessReport>();

test.each(sampleWorkflows.map((s) => [s.name, s] as const))('%s survives every failure there is a name for', (name, sample) => {
  const report = expectEveryStepFails({ ...sample, seeds: SEEDS });
  reports.set(name, report);
  expect(report.scenarios).toBeGreaterThan(250);
  expect(report.reached).toBeGreaterThan(200);
  const ends =
    name === 'move' || name === 'all'
      ? ['cancelled', 'failed', 'stopped', 'succeeded', 'undone']
      : ['cancelled', 'failed', 'succeeded', 'undone'];
  expect(Object.keys(report.finalStates).sort()).toEqual(ends);
});

test('every kind of live change was taken and refused somewhere', () => {
  const kinds = [
    'add-task',
    'duplicate-task',
    'mark-done',
    'pause',
    'reassign',
    'replace-task',
    'resume',
    'retry-from',
    'rewire',
    'set-limits',
    'skip-task',
  ];
  for (const kind of kinds) {
    const all = [...reports.values()].map((r) => r.changes[kind] ?? { taken: 0, refused: 0 });
    expect([kind, all.some((c) => c.taken > 0), all.some((c) => c.refused > 0)]).toEqual([kind, true, true]);
  }
});

test('the same seeds give the same report', () => {
  const sample = { ...byName('all'), seeds: 8, singleFaults: false };
  expect(everyStepFails(sample)).toEqual(everyStepFails(sample));
});

describe('a run that cannot be judged', () => {
  test('is refused: a definition with faults', () => {
    const { definition, ...rest } = byName('move');
    expect(() => everyStepFails({ ...rest, definition: { ...definition, tasks: [...definition.tasks, definition.tasks[0]!] } })).toThrow(
      /faults/,
    );
  });
  test('is a violation: a task that was never reached', () => {
    const { unreachable: _, ...sample } = byName('move');
    const report = everyStepFails({ ...sample, seeds: 0, singleFaults: false });
    expect(report.violations.map((v) => v.message)).toEqual(['optional was never reached']);
  });
});
