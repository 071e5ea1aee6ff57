import { describe, expect, test } from '@jest/globals';
import { migrationTemplatesEvents as events, type TemplateSpec, type TemplateStep } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import { templateFromOption } from './from-option.ts';
import { templateDecider, type TemplateEvent } from './template.ts';
import { templateFaults } from './template-faults.ts';
import { large, largeType, small, smallType } from './test/fixtures.ts';

const types = new Map([
  ['small@1', small],
  ['large@1', large],
]);
const option = { targetType: largeType.ref, move: true, method: 'pre-copy' as const, newResources: 'expose' as const, augmentation: [] };
const script: TemplateStep = { kind: 'guest-script', name: 'quiesce', script: 'true', timeoutMs: 1000 };
const spec = templateFromOption(option, smallType.ref, small, large, { preMigration: [script] });
const published = (version: number, s: TemplateSpec): TemplateEvent => ({
  type: events.templatePublished.type,
  data: { name: 'grow', version, spec: s },
});
const other = { ...spec, options: { ...spec.options, downtimeLimitMs: 250 } };
const publish = (s: TemplateSpec) => ({ kind: 'publish' as const, name: 'grow', spec: s, types });
const codesOf = (change: Partial<TemplateSpec>): string[] =>
  templateFaults({ ...spec, ...change }, (ref) => types.get(ref)).map((f) => `${f.path} ${f.code}`);

describe('publishing', () => {
  test('a new spec is a new version, the same spec the same version', () => {
    given(templateDecider)
      .when(publish(spec))
      .then([published(1, spec)]);
    given(templateDecider, [published(1, spec)])
      .when(publish(other))
      .then([published(2, other)]);
    given(templateDecider, [published(1, spec), published(2, other)])
      .when(publish(structuredClone(spec)))
      .thenNothing();
  });
  test('retired: no further version; retiring twice is as once', () => {
    const retired: TemplateEvent = { type: events.templateRetired.type, data: { name: 'grow' } };
    given(templateDecider, [published(1, spec)])
      .when({ kind: 'retire', name: 'grow' })
      .then([retired]);
    given(templateDecider, [published(1, spec), retired])
      .when({ kind: 'retire', name: 'grow' })
      .thenNothing();
    given(templateDecider, [published(1, spec), retired])
      .when(publish(other))
      .thenRejected('template.retired');
    given(templateDecider).when({ kind: 'retire', name: 'grow' }).thenRejected('template.unknown');
  });
  test('what has faults is refused with all of them', () => {
    given(templateDecider)
      .when(publish({ ...spec, hotPlug: [], hotUnplug: [] }))
      .thenRejected('template.invalid');
  });
});

describe('faults', () => {
  test('what an option leads to has none', () => expect(codesOf({})).toEqual([]));
  test('what is of one method alone, with another', () => {
    const how = { ...spec.options, streams: 4, throttle: true };
    expect(codesOf({ options: how })).toEqual([]);
    const faults = ['options.streams template.not_with_method', 'options.throttle template.not_with_method'];
    expect(codesOf({ options: { ...how, method: 'post-copy' } })).toEqual(faults);
    expect(codesOf({ options: { ...spec.options, postCopy: { afterPasses: 2 } } })).toEqual(['options.postCopy template.not_with_method']);
  });
  test('an empty migration section is a morphing template, and no fault', () => expect(codesOf({ migration: [] })).toEqual([]));
  test('steps in the wrong section', () => {
    expect(codesOf({ preMigration: [{ kind: 'online-cpus', name: 'x', vcpus: 2 }] })).toEqual(['preMigration.0 template.wrong_section']);
    expect(codesOf({ hotUnplug: [...spec.hotUnplug, { ...script, name: 'other' }] })).toEqual(['hotUnplug.1 template.wrong_section']);
  });
  test('devices the types do not have, or still need', () => {
    expect(codesOf({ hotUnplug: [...spec.hotUnplug, { kind: 'unplug-nic', name: 'x', nic: 'nowhere' }] })).toEqual([
      'hotUnplug.1 template.nic_unknown',
    ]);
    expect(codesOf({ hotUnplug: [...spec.hotUnplug, { kind: 'unplug-disk', name: 'x', disk: 'data' }] })).toEqual([
      'hotUnplug.1 template.device_needed',
    ]);
    expect(codesOf({ hotPlug: [...spec.hotPlug, { kind: 'grow-disk', name: 'x', disk: 'nowhere', sizeMiB: 1 }] })).toEqual([
      'hotPlug.3 template.disk_unknown',
    ]);
  });
  test('a step that builds on one that is missing', () => {
    expect(codesOf({ postMigration: [...spec.postMigration, { kind: 'online-cpus', name: 'x', vcpus: 3 }] })).toEqual([
      'postMigration.3 template.step_missing',
    ]);
  });
  test('names: twice, or those of the tasks that every move has', () => {
    expect(codesOf({ preMigration: [script, script, { ...script, name: 'transfer' }] })).toEqual([
      'preMigration.1 template.name_taken',
      'preMigration.2 template.name_reserved',
    ]);
  });
  test('types nobody knows, and what no host does yet', () => {
    const options = {
      ...spec.options,
      targetType: { name: 'huge', version: 9 },
      emulateIncompatible: true,
      augmentation: ['x'],
    };
    expect(codesOf({ options })).toEqual([
      'options.targetType vm-type.unknown',
      'options.emulateIncompatible template.emulation_unsupported',
      'options.augmentation template.augmentation_unsupported',
    ]);
  });
  test('a result that is not the target type, and plugs where new resources are hidden', () => {
    expect(codesOf({ hotPlug: spec.hotPlug.slice(1), postMigration: spec.postMigration.slice(1) })).toEqual([
      'hotPlug template.result_differs',
    ]);
    expect(codesOf({ hotUnplug: [] })).toEqual(['hotUnplug template.device_left']);
    expect(codesOf({ options: { ...spec.options, newResources: 'hide' } })).toEqual(
      Array.from({ length: 3 }, (_, i) => `hotPlug.${i} template.plugs_while_hidden`),
    );
    expect(
      templateFaults(templateFromOption({ ...option, newResources: 'hide' }, smallType.ref, small, large), (r) => types.get(r)),
    ).toEqual([]);
  });
});
