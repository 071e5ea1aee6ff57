import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compileMove } from './compile/compile-move.ts';
import { templateFromOption } from './from-option.ts';
import { reservedNames } from './names.ts';
import { templateFaults } from './template-faults.ts';
import { large, largeType, small, smallType, vm } from './test/fixtures.ts';

const four = { ...large, vcpus: { now: 4, max: 4 } };
const option = { targetType: largeType.ref, move: true, method: 'pre-copy' as const, newResources: 'expose' as const, augmentation: [] };
const types = (ref: string) => (ref === 'small@1' ? small : four);
const compiled = (names: readonly string[], move: boolean) => {
  const script = (name: string) => ({ kind: 'guest-script' as const, name, script: 'true', timeoutMs: 1000 });
  const spec = templateFromOption({ ...option, move }, smallType.ref, small, four, { postMigration: names.map(script) });
  const template = { ref: { name: 't', version: 1 }, spec };
  return { spec, tasks: () => compileMove({ migrationId: 'mig-1', moveId: 'mov-1', template, vm: vm(), target: { hostId: move ? 'h2' : 'h1', spec: four }, guest: true, offlines: false }).definition.tasks }; // prettier-ignore
};

test('what a move itself calls its tasks no step may be called', () => {
  for (const move of [true, false]) {
    const { spec, tasks } = compiled([], move);
    const ofSteps = [spec.hotUnplug, spec.hotPlug, spec.postMigration].flat().map((s) => s.name);
    const own = tasks()
      .map((t) => t.name)
      .filter((name) => !ofSteps.some((step) => name.startsWith(step)));
    expect(own.filter((name) => !reservedNames.includes(name))).toEqual([]);
  }
});

test('however an author calls the steps, every task has a name of its own', () => {
  const likely = fc.constantFrom(
    ...reservedNames,
    'plug-cpus',
    'plug-cpus-cpu1',
    'plug-cpus-cpu1-2',
    'grow-data',
    'unplug-extra',
    'online-cpus',
  );
  const any = fc.oneof(likely, fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/));
  fc.assert(
    fc.property(fc.uniqueArray(any, { maxLength: 6 }), fc.boolean(), (names, move) => {
      const { spec, tasks } = compiled(names, move);
      const faults = templateFaults(spec, types);
      expect(faults.map((f) => f.code).filter((c) => c !== 'template.name_reserved')).toEqual([]);
      if (faults.length > 0) return;
      const made = tasks().map((t) => t.name);
      expect(new Set(made).size).toBe(made.length);
    }),
  );
});
