import { describe, expect, test } from '@jest/globals';
import { topologyHash, type MidMigration, type TaskDefinition, type TemplateSpec, type TemplateStep } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { templateFromOption } from '../from-option.ts';
import { diffTemplates } from '../template-diff.ts';
import { templateFaults } from '../template-faults.ts';
import { large, largeType, small, smallType, vm } from '../test/fixtures.ts';
import { compileMove } from './compile-move.ts';

const script = (name: string, timeoutMs = 1000): TemplateStep => ({ kind: 'guest-script', name, script: 'true', timeoutMs });
const rewire: TemplateStep = { kind: 'rewire-nic', name: 'rewire', nic: 'main', network: 'back' };
const target = { ...large, nics: [{ id: 'main', network: 'back' }] };
const types = new Map([
  ['small@1', small],
  ['large@1', target],
]);
const plain = templateFromOption(
  { targetType: largeType.ref, move: true, method: 'pre-copy', newResources: 'expose', augmentation: [] },
  smallType.ref,
  small,
  target,
);
const isPlug = (s: TemplateStep): boolean => s.kind === 'plug-cpus' || s.kind === 'plug-memory';
/** What is plugged afterwards otherwise is plugged in the middle. */
const withMiddle = (more: Partial<MidMigration> = {}): TemplateSpec => ({
  ...plain,
  hotPlug: plain.hotPlug.filter((s) => !isPlug(s)),
  midMigration: { withinMs: 2000, stopped: [rewire, ...plain.hotPlug.filter(isPlug)], running: [script('relink')], ...more },
});
const compiled = (spec: TemplateSpec) => {
  const made = compileMove({
    ...{ migrationId: 'mig-1', moveId: 'mov-1', template: { ref: { name: 'mid', version: 1 }, spec } },
    ...{ vm: vm(), target: { hostId: 'h2', spec: target }, guest: true, offlines: false },
  });
  const task = (name: string): TaskDefinition => made.definition.tasks.find((t) => t.name === name)!;
  return { ...made, task };
};
const faults = (spec: TemplateSpec): string[] => templateFaults(spec, (ref) => types.get(ref)).map((f) => `${f.path} ${f.code}`);

describe('work in the middle of a move', () => {
  test('goes along with the preparation of the target, and the source asks for it', () => {
    const { definition, params, task } = compiled(withMiddle());
    expect(validateRequest({ definition, params })).toEqual([]);
    const {
      stopped,
      announceWithinMs,
      topologyHash: prepared,
    } = task('prepare-target').input as { stopped: { devices: { kind: string }[] }; announceWithinMs: number; topologyHash: string };
    expect(stopped).toMatchObject({ withinMs: 2000 });
    expect(stopped.devices.map((d) => d.kind)).toEqual(['cpu', 'memory']);
    expect(announceWithinMs).toBe(2000);
    expect(task('transfer').input).toMatchObject({ stoppedWithinMs: 2000 });
    const { moved, arriving, arrived } = params as Record<string, Parameters<typeof topologyHash>[0]>;
    expect([moved, arriving, arrived].map((t) => t!.nics[0]!.network)).toEqual(['lan', 'back', 'back']);
    expect([arriving, arrived].map((t) => t!.vcpus.plugged.length)).toEqual([0, 1]);
    expect(prepared).toBe(topologyHash(arriving!));
    expect(task('confirm-target').input).toMatchObject({ topologyHash: topologyHash(arrived!) });
  });
  test('the script comes with the first instruction, the announcement after it, and what the guest brings online later after both', () => {
    const { definition, task } = compiled(withMiddle());
    expect(task('relink')).toMatchObject({ section: 'mid-migration', after: ['transfer'] });
    expect(task('announce')).toMatchObject({ kind: 'host.announce', after: ['relink'] });
    expect(task('online-cpus').after).toContain('announce');
    expect(definition.tasks.filter((t) => t.kind === 'host.plug').map((t) => t.name)).toEqual([]);
    expect(task('relink').compensation).toBeUndefined();
  });
  test.each([['nothing'], ['an empty middle']])('with %s the move is as before', (what) => {
    const spec = what === 'nothing' ? plain : { ...plain, midMigration: { withinMs: 1000, stopped: [], running: [] } };
    const { task, definition } = compiled(spec);
    expect(task('prepare-target').input).not.toHaveProperty('stopped');
    expect(task('prepare-target').input).not.toHaveProperty('announceWithinMs');
    expect(task('transfer').input).not.toHaveProperty('stoppedWithinMs');
    expect(definition.tasks.some((t) => t.kind === 'host.announce')).toBe(false);
  });
  test('what is there already is not plugged again: a template fits a VM half way', () => {
    const { after } = { after: compiled(withMiddle()).params['arrived'] as ReturnType<typeof vm>['topology'] };
    const half = compileMove({
      ...{ migrationId: 'mig-1', moveId: 'mov-1', template: { ref: { name: 'mid', version: 1 }, spec: withMiddle() } },
      ...{ vm: vm({ topology: after }), target: { hostId: 'h2', spec: target }, guest: true, offlines: false },
    });
    expect(half.definition.tasks.find((t) => t.name === 'prepare-target')!.input).not.toHaveProperty('stopped');
  });
});

describe('faults of it', () => {
  test('none', () => expect(faults(withMiddle())).toEqual([]));
  test('steps that have another place, and names that are taken', () => {
    expect(faults(withMiddle({ running: [script('relink'), { kind: 'online-cpus', name: 'x', vcpus: 2 }] }))).toEqual([
      'midMigration.running.1 template.wrong_section',
    ]);
    expect(faults({ ...withMiddle(), preMigration: [script('relink')] })).toEqual(['midMigration.running.0 template.name_taken']);
    expect(faults({ ...plain, hotPlug: [...plain.hotPlug, rewire] })).toEqual([`hotPlug.${plain.hotPlug.length} template.wrong_section`]);
  });
  test('more time than there is, no move, a NIC that stays where it is', () => {
    expect(faults(withMiddle({ running: [script('relink', 1500), script('again', 501)] }))).toEqual([
      'midMigration.running template.mid_migration_late',
    ]);
    expect(faults({ ...withMiddle(), migration: [] })).toEqual(['midMigration template.mid_migration_without_move']);
    const [, ...plugs] = withMiddle().midMigration!.stopped;
    expect(faults(withMiddle({ stopped: [{ ...rewire, network: 'lan' }, ...plugs] }))).toEqual([
      'midMigration.stopped.0 template.nic_not_rewired',
    ]);
    expect(faults(withMiddle({ stopped: [{ ...rewire, nic: 'none' }, ...plugs] }))).toEqual([
      'midMigration.stopped.0 template.nic_unknown',
    ]);
  });
});

test('differences name the part of the middle', () => {
  const { options, steps } = diffTemplates(withMiddle(), withMiddle({ withinMs: 3000, running: [] }));
  expect(options.map((o) => o.path)).toEqual(['midMigration.withinMs']);
  expect(steps.map((s) => `${s.section} ${s.name} ${s.change}`)).toEqual(['midMigration.running relink removed']);
});
