import type { Counts, PassedOnlyAlone } from './jest-report.ts';

export type Verdict = Readonly<{ lines: readonly string[]; exitCode: 0 | 1 }>;

/**
 * The last lines of `npm test`. A test that passes only by itself is a fault, though not one of the code it tries: named before the
 * closing line, and with CI=true counted as failed. Elsewhere another program may have had the machine, and the run stands.
 */
export const verdict = (
  total: Counts,
  onlyAlone: readonly PassedOnlyAlone[],
  env: { strict: boolean; leftOut: readonly string[] },
): Verdict => {
  const strict = env.strict ? onlyAlone.length : 0;
  const { passed, failed, skipped } = { ...total, passed: total.passed - strict, failed: total.failed + strict };
  const names = onlyAlone.map((t) => (t.test === '' ? t.file : `${t.file}: ${t.test}`)).join('; ');
  return {
    lines: [
      ...(env.leftOut.length > 0 ? [`Left out by CHRYSALIS_SKIP: ${env.leftOut.join(', ')}`] : []),
      ...(onlyAlone.length > 0
        ? [`${onlyAlone.length} passed only when run again alone${env.strict ? ', which CI=true counts as failed' : ''}: ${names}`]
        : []),
      `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    ],
    exitCode: failed === 0 ? 0 : 1,
  };
};

/** Steps in their order, those that may run beside each other together. */
export const besides = (names: readonly string[], may: (name: string) => boolean): string[][] =>
  names.reduce<string[][]>((groups, name) => {
    const last = groups.at(-1);
    if (last && may(name) && last.every(may)) last.push(name);
    else groups.push([name]);
    return groups;
  }, []);
