/** What Jest's `--json` says, as far as `npm test` reads it. */
export type JestReport = Readonly<{
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numRuntimeErrorTestSuites: number;
  testResults: readonly SuiteResult[];
}>;

export type SuiteResult = Readonly<{
  name: string;
  status: string;
  startTime: number;
  endTime: number;
  assertionResults: readonly Readonly<{ fullName: string; status: string }>[];
}>;

export type Counts = Readonly<{ passed: number; failed: number; skipped: number }>;

/** A suite that broke before its first test counts as one failure, and so does a Jest that fails without saying of what. */
export const countsOf = (r: JestReport, exitCode: number): Counts => {
  const failed = r.numFailedTests + r.numRuntimeErrorTestSuites;
  return { passed: r.numPassedTests, failed: failed === 0 && exitCode !== 0 ? 1 : failed, skipped: r.numPendingTests };
};

const failedSuites = (r: JestReport): readonly SuiteResult[] => r.testResults.filter((s) => s.status === 'failed');
export const failedFiles = (r: JestReport): string[] => failedSuites(r).map((s) => s.name);

/** A suite without a failed test broke as a whole: it stands for itself. */
const failuresOf = (s: SuiteResult): string[] => {
  const tests = s.assertionResults.filter((a) => a.status === 'failed').map((a) => a.fullName);
  return tests.length > 0 ? tests : [''];
};

/** The counts of a run whose failed files were run again: what these say now stands in place of what they said first. */
export const together = (first: JestReport, again: JestReport, againCode: number): Counts => {
  const before = failedSuites(first).flatMap((s) => s.assertionResults.map((a) => a.status));
  const now = countsOf(again, againCode);
  return {
    passed: first.numPassedTests - before.filter((s) => s === 'passed').length + now.passed,
    failed: now.failed,
    skipped: first.numPendingTests - before.filter((s) => s === 'pending').length + now.skipped,
  };
};

export type PassedOnlyAlone = Readonly<{ file: string; test: string }>;

/** What failed beside other suites and passed when its file was run again by itself. */
export const passedOnlyAlone = (first: JestReport, again: JestReport): PassedOnlyAlone[] => {
  const still = new Map(failedSuites(again).map((s) => [s.name, failuresOf(s)]));
  return failedSuites(first).flatMap((s) => {
    const failing = still.get(s.name) ?? [];
    if (failing.includes('')) return [];
    return failuresOf(s)
      .filter((test) => !failing.includes(test) && (test !== '' || failing.length === 0))
      .map((test) => ({ file: s.name, test }));
  });
};

/** How long each suite took, longest first: where the time of a run goes. */
export const slowest = (r: JestReport, n: number): Readonly<{ file: string; seconds: number }>[] =>
  r.testResults
    .map((s) => ({ file: s.name, seconds: (s.endTime - s.startTime) / 1000 }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, n);
