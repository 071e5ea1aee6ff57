import { describe, expect, test } from '@jest/globals';
import { migrationTemplatesEvents as events, type TemplateSpec, type TemplateStep } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import { templateFromOption } from './from-option.ts';
import { judgeTemplate } from './judge-template.ts';
import { diffTemplates } from './template-diff.ts';
import { templateDecider, type TemplateEvent } from './template.ts';
import { large, largeType, small, smallType } from './test/fixtures.ts';

const types = new Map([
  ['small@1', small],
  ['large@1', large],
]);
const script = (name: string, more: object = {}): TemplateStep => ({
  kind: 'guest-script',
  name,
  script: 'true',
  timeoutMs: 1000,
  ...more,
});
const spec = templateFromOption(
  { targetType: largeType.ref, move: true, method: 'pre-copy', newResources: 'expose', augmentation: [] },
  smallType.ref,
  small,
  large,
  { preMigration: [script('one'), script('two')] },
);
const other = { ...spec, options: { ...spec.options, downtimeLimitMs: 250 } };
const published = (version: number, s: TemplateSpec): TemplateEvent => ({
  type: events.templatePublished.type,
  data: { name: 'grow', version, spec: s },
});
const retired: TemplateEvent = { type: events.templateRetired.type, data: { name: 'grow' } };
const deleted: TemplateEvent = { type: events.templateDeleted.type, data: { name: 'grow' } };
const update = (s: TemplateSpec, from?: number) => ({ kind: 'update' as const, name: 'grow', spec: s, types, from });
const publish = (s: TemplateSpec) => ({ kind: 'publish' as const, name: 'grow', spec: s, types });
const remove = (...usedBy: string[]) => ({ kind: 'delete' as const, name: 'grow', usedBy });

describe('changing', () => {
  test('a spec becomes the newest version, also one that an older version had', () => {
    given(templateDecider, [published(1, spec)])
      .when(update(other))
      .then([published(2, other)]);
    given(templateDecider, [published(1, spec), published(2, other)])
      .when(update(spec))
      .then([published(3, spec)]);
    given(templateDecider, [published(1, spec), published(2, other)])
      .when(update(other))
      .thenNothing();
  });
  test('only over the version that was seen, and said again it is the same', () => {
    const two = [published(1, spec), published(2, other)];
    given(templateDecider, two).when(update(spec, 1)).thenRejected('template.version_outdated');
    given(templateDecider, two)
      .when(update(spec, 2))
      .then([published(3, spec)]);
    given(templateDecider, [...two, published(3, spec)])
      .when(update(spec, 2))
      .thenNothing();
  });
  test('of one that is there', () => {
    given(templateDecider).when(update(spec)).thenRejected('template.unknown');
    given(templateDecider, [published(1, spec), deleted])
      .when(update(spec))
      .thenRejected('template.unknown');
    given(templateDecider, [published(1, spec), retired])
      .when(update(other))
      .thenRejected('template.retired');
  });
});

describe('deleting', () => {
  test('while nothing uses it; a number of a version is not used again', () => {
    given(templateDecider, [published(1, spec)])
      .when(remove())
      .then([deleted]);
    given(templateDecider, [published(1, spec)])
      .when(remove('mig-1'))
      .thenRejected('template.in_use');
    given(templateDecider, [published(1, spec), deleted])
      .when(publish(spec))
      .then([published(2, spec)]);
    given(templateDecider, [published(1, spec), deleted, published(2, spec)])
      .when(publish(spec))
      .thenNothing();
  });
  test('of one that is not there, or is no more', () => {
    given(templateDecider).when(remove()).thenRejected('template.unknown');
    given(templateDecider, [published(1, spec), deleted])
      .when(remove())
      .thenRejected('template.unknown');
    given(templateDecider, [published(1, spec), deleted])
      .when({ kind: 'retire', name: 'grow' })
      .thenRejected('template.unknown');
  });
  test('one that was retired too, and who publishes it again has one that is not', () => {
    given(templateDecider, [published(1, spec), retired])
      .when(remove())
      .then([deleted]);
    given(templateDecider, [published(1, spec), retired, deleted])
      .when(publish(other))
      .then([published(2, other)]);
  });
});

describe('differences', () => {
  test('of a spec and itself there are none', () => expect(diffTemplates(spec, structuredClone(spec))).toEqual({ options: [], steps: [] }));
  test('options, and steps that were added, removed, changed, reordered', () => {
    const to: TemplateSpec = {
      ...spec,
      sourceType: { name: 'tiny', version: 2 },
      options: other.options,
      preMigration: [script('two'), script('one')],
      migration: [],
      postMigration: [script('three'), ...spec.postMigration.slice(1)],
    };
    const { options, steps } = diffTemplates(spec, to);
    expect(options.map((o) => o.path)).toEqual(['sourceType', 'options.downtimeLimitMs']);
    expect(steps.map((s) => `${s.section} ${s.name} ${s.change}`)).toEqual([
      'preMigration two reordered',
      'preMigration one reordered',
      'migration live-migration removed',
      `postMigration ${spec.postMigration[0]!.name} removed`,
      'postMigration three added',
    ]);
    const changed = diffTemplates(spec, { ...spec, preMigration: [script('one', { timeoutMs: 5 }), script('two')] }).steps;
    expect(changed).toEqual([
      { section: 'preMigration', name: 'one', change: 'changed', from: script('one'), to: script('one', { timeoutMs: 5 }) },
    ]);
  });
});

describe('judging what may be a spec', () => {
  const findings = (value: unknown): string[] => judgeTemplate(value, (ref) => types.get(ref)).findings.map((f) => `${f.path} ${f.code}`);
  test('a valid one has none', () => expect(findings(spec)).toEqual([]));
  test('members that it does not know are told beside what the steps lead to', () => {
    const value = { ...spec, notes: 1, hotPlug: [{ ...spec.hotPlug[0]!, size: 3 }] };
    expect(findings(value)).toEqual(
      expect.arrayContaining([
        'notes template.member_unknown',
        'hotPlug.0.size template.member_unknown',
        'hotPlug template.result_differs',
      ]),
    );
    expect(judgeTemplate(value, (ref) => types.get(ref)).spec).toBeUndefined();
  });
  test('where its outline is none, every member that is wrong, and the steps that can be read', () => {
    const value = {
      ...spec,
      options: { ...spec.options, method: 'teleport' },
      sourceType: { name: 'nobody', version: 1 },
      preMigration: [script('one'), script('one', { hurry: true }), { kind: 'dance', name: 'x' }, { ...script('y'), timeoutMs: 'soon' }],
      hotUnplug: [script('transfer')],
    };
    expect(findings(value)).toEqual([
      'options.method template.member_invalid',
      'preMigration.2.kind template.member_invalid',
      'preMigration.3.timeoutMs template.member_invalid',
      'sourceType vm-type.unknown',
      'preMigration.1.hurry template.member_unknown',
      'preMigration.1 template.name_taken',
      'hotUnplug.0 template.name_reserved',
      'hotUnplug.0 template.wrong_section',
    ]);
  });
  test.each([[undefined], [null], [3], ['spec'], [[]], [{}], [{ migration: 'x', options: [] }]])(
    '%j is none, and nothing breaks',
    (value) => {
      expect(findings(value).length).toBeGreaterThan(0);
    },
  );
});
