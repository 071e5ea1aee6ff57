import { describe, expect, test } from '@jest/globals';
import { countsOf, passedOnlyAlone, slowest, together, type JestReport, type SuiteResult } from './jest-report.ts';
import { besides, verdict } from './verdict.ts';

const suite = (name: string, tests: Record<string, 'passed' | 'failed'>, seconds = 1, broken = false): SuiteResult => ({
  name,
  status: broken || Object.values(tests).includes('failed') ? 'failed' : 'passed',
  startTime: 0,
  endTime: seconds * 1000,
  assertionResults: Object.entries(tests).map(([fullName, status]) => ({ fullName, status })),
});
const report = (...testResults: SuiteResult[]): JestReport => {
  const all = testResults.flatMap((s) => s.assertionResults.map((a) => a.status));
  return {
    numPassedTests: all.filter((s) => s === 'passed').length,
    numFailedTests: all.filter((s) => s === 'failed').length,
    numPendingTests: 0,
    numRuntimeErrorTestSuites: testResults.filter((s) => s.status === 'failed' && !s.assertionResults.some((a) => a.status === 'failed'))
      .length,
    testResults,
  };
};
const here = { strict: false, leftOut: [] };

describe('what passed only alone', () => {
  const first = report(
    suite('a', { one: 'failed', two: 'failed', three: 'passed' }),
    suite('b', { four: 'passed' }),
    suite('c', {}, 1, true),
  );

  test('is what failed first and passed when run again, test by test', () => {
    const again = report(suite('a', { one: 'passed', two: 'failed', three: 'passed' }), suite('c', { five: 'passed' }));
    expect(passedOnlyAlone(first, again)).toEqual([
      { file: 'a', test: 'one' },
      { file: 'c', test: '' },
    ]);
  });

  test('is not what still fails, nor anything of a suite that breaks as a whole', () => {
    expect(passedOnlyAlone(first, report(suite('a', {}, 1, true), suite('c', {}, 1, true)))).toEqual([]);
    expect(passedOnlyAlone(first, report(suite('a', { one: 'failed', two: 'failed' }), suite('c', { five: 'failed' })))).toEqual([]);
  });
});

describe('the closing lines', () => {
  const alone = [
    { file: 'a.test.ts', test: 'one' },
    { file: 'c.test.ts', test: '' },
  ];

  test('say how many passed only alone, and which', () => {
    const { lines, exitCode } = verdict({ passed: 10, failed: 0, skipped: 0 }, alone, here);
    expect(lines).toEqual(['2 passed only when run again alone: a.test.ts: one; c.test.ts', '10 passed, 0 failed']);
    expect(exitCode).toBe(0);
  });

  test('under CI they fail the run', () => {
    const { lines, exitCode } = verdict({ passed: 10, failed: 0, skipped: 1 }, alone, { ...here, strict: true });
    expect(lines[0]).toBe('2 passed only when run again alone, which CI=true counts as failed: a.test.ts: one; c.test.ts');
    expect(lines.at(-1)).toBe('8 passed, 2 failed, 1 skipped');
    expect(exitCode).toBe(1);
  });

  test('say nothing of it when there is none, and fail with what failed', () => {
    expect(verdict({ passed: 3, failed: 0, skipped: 0 }, [], here)).toEqual({ lines: ['3 passed, 0 failed'], exitCode: 0 });
    expect(verdict({ passed: 3, failed: 1, skipped: 0 }, [], { strict: true, leftOut: ['qemu'] })).toEqual({
      lines: ['Left out by CHRYSALIS_SKIP: qemu', '3 passed, 1 failed'],
      exitCode: 1,
    });
  });
});

test('a Jest that fails without a failed test is a failure', () => {
  expect(countsOf(report(suite('a', { one: 'passed' })), 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  expect(countsOf(report(suite('a', {}, 1, true)), 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test('the counts of what ran again stand in place of the first', () => {
  const first = report(suite('a', { one: 'failed', two: 'passed' }), suite('b', { three: 'passed' }), suite('c', {}, 1, true));
  const again = report(suite('a', { one: 'passed', two: 'passed' }), suite('c', { four: 'passed', five: 'failed' }));
  expect(together(first, again, 1)).toEqual({ passed: 4, failed: 1, skipped: 0 });
});

test('steps that may run beside each other do, in the order of all', () => {
  const may = (name: string): boolean => name !== 'prepare' && name !== 'jest';
  expect(besides(['prepare', 'lint', 'knip', 'types', 'jest'], may)).toEqual([['prepare'], ['lint', 'knip', 'types'], ['jest']]);
  expect(besides(['types', 'jest', 'lint'], may)).toEqual([['types'], ['jest'], ['lint']]);
});

test('the slowest suites, longest first', () => {
  expect(slowest(report(suite('a', {}, 1), suite('b', {}, 3), suite('c', {}, 2)), 2)).toEqual([
    { file: 'b', seconds: 3 },
    { file: 'c', seconds: 2 },
  ]);
});
