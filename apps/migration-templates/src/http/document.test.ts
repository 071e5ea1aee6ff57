import { describe, expect, test } from '@jest/globals';
import { refText, type TemplateSpec, type TemplateStep } from '@chrysalis/contracts';
import {
  compileMove,
  judgeTemplate,
  templateDecider,
  templateFromOption,
  templateSections,
  versionOf,
  type TemplateSection,
} from '@chrysalis/migration-templates-core';
import { smallType, sourceOf, targetOf, vm } from '@chrysalis/migration-templates-core/testing';
import { ProblemError } from '@chrysalis/service-kit';
import { validateRequest } from '@chrysalis/workflow-core';
import fc from 'fast-check';
import { MOST_CHARACTERS, readDocument, readYaml, writeDocument } from './document.ts';

const otherType = { name: 'other', version: 1 };
const subsets = templateSections.reduce<TemplateSection[][]>((sets, s) => [...sets, ...sets.map((set) => [...set, s])], [[]]);
const growths = fc.subarray(['cpus', 'memory', 'disk'] as const, { minLength: 1 });
const scriptText = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({ unit: 'binary', minLength: 1 }),
  fc.constantFrom('- a', '#', '*x', '&a b', 'a: b\n\n  c', '|', ' x ', 'no', '1e3', "'", '"\\', '\r\n', '---'),
);

type Drawn = { with: TemplateSection[]; grows: ('cpus' | 'memory' | 'disk')[]; script: string; undo: string | undefined; middle: boolean };
const drawn = (filled: TemplateSection[]): fc.Arbitrary<Drawn> =>
  fc.record({
    with: fc.constant(filled),
    grows: growths,
    script: scriptText,
    undo: fc.option(scriptText, { nil: undefined }),
    middle: fc.boolean(),
  });

/** A valid spec that has steps in exactly these sections. */
const specWith = ({ with: filled, grows, script, undo, middle }: Drawn) => {
  const has = (s: TemplateSection): boolean => filled.includes(s);
  const step = (name: string): TemplateStep => ({
    kind: 'guest-script',
    name,
    script,
    timeoutMs: 1_000,
    ...(undo === undefined ? {} : { undo }),
  });
  const change = { unplugs: has('hotUnplug'), grows: has('hotPlug') ? grows : [], shrinks: [] };
  const source = sourceOf(change);
  const target = targetOf(change, source);
  const made = templateFromOption(
    { targetType: otherType, move: has('migration'), method: 'pre-copy', newResources: 'expose', augmentation: [] },
    smallType.ref,
    source,
    target,
    { preMigration: has('preMigration') ? [step('before')] : [] },
  );
  const midMigration = { withinMs: 2_000, stopped: [], running: [step('between')] };
  const spec: TemplateSpec = {
    ...made,
    ...(has('migration') && middle ? { midMigration } : {}),
    postMigration: has('postMigration') ? [...made.postMigration, step('after')] : [],
  };
  return {
    spec,
    source,
    target,
    types: new Map([
      [refText(smallType.ref), source],
      [refText(otherType), target],
    ]),
  };
};

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof ProblemError) return error.problem.code;
    throw error;
  }
  return 'none';
};

describe('a valid template, whichever of its sections are empty', () => {
  test.each(subsets.map((filled) => [filled.join(', ') || 'none', filled] as const))(
    'with %s: compiles, is published, and is the same version when its export is imported',
    (_, filled) => {
      fc.assert(
        fc.property(drawn(filled), fc.constantFrom('yaml', 'json'), (d, format) => {
          const { spec, source, target, types } = specWith(d);
          expect(templateSections.filter((s) => spec[s].length > 0)).toEqual(d.with);
          expect(judgeTemplate(spec, (ref) => types.get(ref))).toEqual({ spec, findings: [] });
          const { definition, params } = compileMove({
            migrationId: 'mig-1',
            moveId: 'mov-1',
            template: { ref: { name: 'drawn', version: 1 }, spec },
            vm: vm({ spec: source }),
            target: { hostId: d.with.includes('migration') ? 'h2' : 'h1', spec: target },
            guest: true,
            offlines: false,
          });
          expect(validateRequest({ definition, params })).toEqual([]);
          const first = templateDecider.decide({ kind: 'publish', name: 'drawn', spec, types }, templateDecider.initial);
          if (!first.ok) throw new Error(JSON.stringify(first.rejection));
          const state = first.events.reduce(templateDecider.evolve, templateDecider.initial);
          const read = readDocument(writeDocument({ kind: 'migration-template', schema: 1, name: 'drawn', spec }, format));
          expect(read).toEqual({ kind: 'migration-template', schema: 1, name: 'drawn', spec });
          expect(templateDecider.decide({ kind: 'publish', name: read.name, spec: read.spec, types }, state)).toEqual({
            ok: true,
            events: [],
          });
          expect(versionOf(state, read.spec)).toBe(1);
        }),
        { numRuns: 8 },
      );
    },
  );
});

describe('a document of a stranger', () => {
  const { spec } = specWith({ with: ['preMigration', 'migration'], grows: ['cpus'], script: 'true', undo: undefined, middle: true });
  const text = writeDocument({ kind: 'migration-template', schema: 1, name: 'drawn', spec }, 'yaml');

  test.each([
    ['an alias', 'a: &a 1\nb: *a'],
    [
      'aliases of aliases',
      `a: &a [x,x,x,x,x,x,x,x]\n${'bcdefghij'
        .split('')
        .map((c, i) => `${c}: &${c} [${`*${'abcdefghi'[i]!},`.repeat(8)}]`)
        .join('\n')}`,
    ],
    ['a merge', 'a: &a {b: 1}\nc: {<<: *a}'],
    ['a member twice', 'a: 1\na: 2'],
    ['several documents', 'a: 1\n---\nb: 2'],
    ['none', '# nothing'],
    ['a fault', 'a: [1'],
    ['a name that is no text', '? [a]\n: 1'],
    ['more levels than anybody needs', '[['.repeat(30) + ']]'.repeat(30)],
    ['brackets without an end', '['.repeat(MOST_CHARACTERS)],
    ['nothing but dashes', '- '.repeat(MOST_CHARACTERS / 2)],
    ['nothing but faults', '[a]'.repeat(MOST_CHARACTERS / 3)],
  ])('%s is refused, and soon', (_, given) => {
    const began = performance.now();
    expect(codeOf(() => readYaml(given))).toBe('template.document_invalid');
    expect(performance.now() - began).toBeLessThan(8_000); // 2.4 s at most on a core of its own
  });
  test('a fault is told by its line', () => {
    expect(() => readYaml('a: 1\nb: 2\na: 3')).toThrow(/line 3, column 1: the member a is there twice/);
  });
  test('members that the schema does not know, and values that it does not take, each at its place', () => {
    expect(() => readDocument(text.replace('timeoutMs: 1000', 'timeoutMs: 1000\n      retries: 3'))).toThrow(
      /spec\.preMigration\.0\.retries: there is no such member/,
    );
    expect(() => readDocument(text.replace('timeoutMs: 1000', 'timeoutMs: soon'))).toThrow(/spec\.preMigration\.0\.timeoutMs/);
    expect(codeOf(() => readDocument(text.replace('schema: 1', 'schema: 2')))).toBe('template.invalid');
  });
  test('names such as those of every object are members like any other', () => {
    expect(codeOf(() => readDocument(`__proto__: {a: 1}\n${text}`))).toBe('template.invalid');
  });
});
