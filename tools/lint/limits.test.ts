import { afterAll, describe, expect, test } from '@jest/globals';
import { Linter } from './lint.ts';

const limited = ['complexity', 'max-depth', 'max-lines-per-function'];
const linter = new Linter();
afterAll(() => linter.close());
const broken = async (file: string, text: string): Promise<string[]> =>
  (await linter.rulesBroken(file, text)).filter((rule) => limited.includes(rule));

const times = (n: number, of: (i: number) => string): string => Array.from({ length: n }, (_, i) => of(i)).join('\n');
const ifs = (n: number): string =>
  `export const f = (x: number): number => {\n${times(n, (i) => `  if (x === ${i}) return ${i};`)}\n  return x;\n};\n`;
const nested = (n: number): string =>
  `export const f = (x: number): void => {\n${times(n, (i) => `if (x > ${i}) {`)}\nconsole.log(x);\n${'}'.repeat(n)}\n};\n`;
const long = (n: number): string => `export const f = (): void => {\n${times(n - 2, (i) => `  console.log(${i});`)}\n};\n`;
const table = `export const f = (x: number): number => {\n  switch (x) {\n${times(30, (i) => `    case ${i}:\n      return ${i};`)}\n    default:\n      return x;\n  }\n};\n`;

const cases: [name: string, text: string, breaks: string[]][] = [
  ['eleven branches are twelve ways', ifs(11), []],
  ['twelve branches are too many', ifs(12), ['complexity']],
  ['blocks three deep', nested(3), []],
  ['blocks four deep', nested(4), ['max-depth']],
  ['sixty lines', long(60), []],
  ['sixty-one lines', long(61), ['max-lines-per-function']],
];

describe('the lint knows how long and how winding a function may be', () => {
  test.each(['apps/workflow/src/f.ts', 'libs/kernel/src/f.ts', 'tools/run/f.ts', 'infra/network/f.ts'])('in %s', async (file) => {
    const text = cases.map(([, body], i) => body.replace('const f =', `const f${i} =`)).join('');
    expect(await broken(file, text)).toEqual(cases.flatMap(([, , breaks]) => breaks));
  });

  test('a switch is one branch, and each of its lines is a line', async () => {
    expect(await broken('libs/kernel/src/f.ts', table)).toEqual(['max-lines-per-function']);
    expect(await broken('libs/kernel/src/f.ts', table.replaceAll(':\n      return', ': return'))).toEqual([]);
  });

  test('a list of tests has no length, and a test is not winding', async () => {
    expect(await broken('libs/kernel/src/f.test.ts', long(300))).toEqual([]);
    expect(await broken('libs/kernel/src/f.test.ts', ifs(20))).toEqual(['complexity']);
  });
});
