import { describe, expect, test } from '@jest/globals';
import { codeAreas, CODES, TemplateOptions } from '@chrysalis/contracts';
import { policies } from '@chrysalis/placement';
import { areas, findings, reference, written } from './rules.ts';

describe('the reference of rules', () => {
  test('knows of each file that says a code what it decides', () => {
    const known = new Set(areas.flatMap((a) => a.files));
    expect([...new Set(findings().map((f) => f.file))].filter((f) => !known.has(f))).toEqual([]);
  });

  test('has each code that they say, each policy and each option, and is what the code says: `node tools/reference/rules.ts` writes it anew', async () => {
    const text = await written();
    expect(findings().filter(({ code }) => !text.includes(`| \`${code}\``))).toEqual([]);
    expect(policies.filter(({ name }) => !text.includes(name))).toEqual([]);
    expect(Object.keys(TemplateOptions.shape).filter((name) => !text.includes(`| \`${name}\``))).toEqual([]);
    expect(text).toBe(await reference());
  });

  test('says of each what it means, how grave it is, what to do and where that is decided', async () => {
    const rows = (await written()).split('\n').filter((line) => /^\| `[a-z-]+\.[a-z_0-9]+`/.test(line));
    expect(rows.length).toBeGreaterThan(80);
    for (const line of rows) {
      const [, code = '', severity, means, , remedy, files] = line.split(/(?<!\\)\|/).map((c) => c.trim());
      expect([code, severity, means, remedy, files].filter((c) => !c)).toEqual([]);
      expect(Object.hasOwn(CODES, code.replaceAll('`', ''))).toBe(true);
    }
  });

  test('leaves no blocker of options and faults of templates out that the catalogue has', () => {
    const said = new Set<string>(findings().map((f) => f.code));
    const ofRules = Object.keys(codeAreas['Options, templates, plans and migrations']).filter(
      (code) => /^option\./.test(code) && !('status' in CODES[code as keyof typeof CODES]),
    );
    expect(ofRules.filter((code) => !said.has(code))).toEqual([]);
  });
});
