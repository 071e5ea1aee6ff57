import { describe, expect, test } from '@jest/globals';
import { allTasks, memoryMiBOf, plugged, vcpusOf, WorkflowDefinition, type TemplateSpec, type TemplateStep } from '@chrysalis/contracts';
import { templateFromOption } from '../from-option.ts';
import { large, largeType, small, smallType, topology, vm } from '../test/fixtures.ts';
import { compileMove } from './compile-move.ts';
import type { MoveInput } from './context.ts';

const script = (name: string, undo?: string): TemplateStep => ({
  kind: 'guest-script',
  name,
  script: 'echo ${HOME}',
  timeoutMs: 5000,
  ...(undo ? { undo } : {}),
});
const option = { targetType: largeType.ref, move: true, method: 'pre-copy' as const, newResources: 'expose' as const, augmentation: [] };
const spec = (change: Partial<typeof option> = {}, post: TemplateStep[] = [script('announce')]): TemplateSpec =>
  templateFromOption({ ...option, ...change }, smallType.ref, small, large, {
    preMigration: [script('quiesce', 'echo back')],
    postMigration: post,
  });
const input = (change: Partial<MoveInput> = {}): MoveInput => ({
  migrationId: 'mig-1',
  moveId: 'mov-1',
  template: { ref: { name: 'grow', version: 1 }, spec: spec() },
  vm: vm(),
  target: { hostId: 'h2', spec: large },
  guest: true,
  offlines: false,
  ...change,
});
const graph = (i: MoveInput) => {
  const { definition } = compileMove(i);
  const refs = (x: unknown): string[] => [...JSON.stringify(x).matchAll(/\$\{tasks\.([a-z0-9-]+)\./g)].map((m) => m[1]!);
  const before = new Map(definition.tasks.map((t) => [t.name, new Set([...(t.after ?? []), ...refs(t.input)])]));
  const waitsFor = (name: string, other: string): boolean => [...before.get(name)!].some((b) => b === other || waitsFor(b, other));
  return { definition, waitsFor, task: (name: string) => definition.tasks.find((t) => t.name === name)! };
};
const byName = (definition: WorkflowDefinition) => definition.tasks.map((t) => t.name);

describe('small to large on another host', () => {
  const { definition, waitsFor, task } = graph(input());

  test('every section, in the words of the architecture', () => {
    WorkflowDefinition.parse(definition);
    expect(byName(definition)).toEqual([
      'hold-target', 'begin-move', 'preflight-source', 'preflight-target', 'check-blockers', 'guest-facts',
      'quiesce',
      'unplug-extra', 'record-unplugged',
      'prepare-target', 'transfer', 'confirm-target', 'switch-over', 'release-source', 'swap-holds',
      'plug-cpus', 'plug-memory', 'grow-data', 'record-plugged',
      'online-cpus', 'online-memory', 'grow-filesystem-data', 'announce',
      'verify-guest', 'end-move',
    ]); // prettier-ignore
    expect(new Set(definition.tasks.map((t) => t.section)).size).toBe(7);
  });
  test('what does not depend runs side by side', () => {
    for (const name of ['hold-target', 'begin-move', 'preflight-source', 'preflight-target']) expect(task(name).after).toBeUndefined();
    expect(task('guest-facts').after).toEqual(['preflight-source']);
    expect(waitsFor('prepare-target', 'quiesce')).toBe(false);
    expect(waitsFor('prepare-target', 'check-blockers')).toBe(false);
    expect(waitsFor('prepare-target', 'unplug-extra')).toBe(false);
    expect(waitsFor('plug-memory', 'plug-cpus')).toBe(false);
    expect(waitsFor('plug-cpus', 'switch-over')).toBe(false);
    expect(waitsFor('online-cpus', 'plug-memory')).toBe(false);
    expect(waitsFor('plug-cpus', 'release-source')).toBe(false);
    expect(waitsFor('verify-guest', 'swap-holds')).toBe(false);
  });
  test('and what depends waits', () => {
    for (const [later, earlier] of [
      ['quiesce', 'check-blockers'], ['check-blockers', 'preflight-target'], ['transfer', 'check-blockers'], ['unplug-extra', 'quiesce'], ['prepare-target', 'hold-target'], ['prepare-target', 'begin-move'],
      ['transfer', 'prepare-target'], ['transfer', 'record-unplugged'], ['confirm-target', 'transfer'], ['switch-over', 'confirm-target'],
      ['plug-cpus', 'confirm-target'], ['record-plugged', 'switch-over'], ['record-plugged', 'grow-data'], ['online-cpus', 'plug-cpus'],
      ['announce', 'grow-filesystem-data'], ['announce', 'online-memory'], ['verify-guest', 'announce'], ['verify-guest', 'record-plugged'],
      ['release-source', 'switch-over'], ['release-source', 'confirm-target'], ['swap-holds', 'release-source'], ['end-move', 'swap-holds'], ['end-move', 'verify-guest'],
    ] as const) expect([later, earlier, waitsFor(later, earlier)]).toEqual([later, earlier, true]); // prettier-ignore
  });
  test('all before the transfer can be undone, nothing after it', () => {
    const compensations = Object.fromEntries(definition.tasks.flatMap((t) => (t.compensation ? [[t.name, t.compensation.kind]] : [])));
    expect(compensations).toEqual({
      'hold-target': 'allocation.release',
      'begin-move': 'vm.end-move',
      quiesce: 'guest.run-script',
      'unplug-extra': 'host.plug',
      'record-unplugged': 'vm.record-topology',
      'prepare-target': 'host.discard-target',
    });
    expect(definition.tasks.filter((t) => t.pointOfNoReturn).map((t) => t.name)).toEqual(['transfer']);
  });
  test('the source does its part at the old epoch, the target at the new one', () => {
    for (const t of definition.tasks.filter((x) => x.route.mode === 'direct')) {
      const executor = (t.route as { executor: string }).executor;
      const raised = t.input['epoch'] === '${tasks.begin-move.output.newEpoch}';
      if (t.section === 'prepare') expect([t.name, raised]).toEqual([t.name, t.name === 'preflight-target']);
      else expect([t.name, raised]).toEqual([t.name, executor === 'host:h2']);
    }
  });
  test('every kind is a task that exists, in its group, with every field given', () => {
    const known = new Map(Object.values(allTasks).map((c) => [c.kind as string, c]));
    for (const t of definition.tasks)
      for (const run of [t, ...(t.compensation ? [t.compensation] : [])]) {
        const contract = known.get(run.kind)!;
        expect(contract.group).toBe(run.route.group);
        const problems = contract.input.safeParse(run.input).error?.issues.map((i) => i.path[0]) ?? [];
        expect(problems.filter((field) => !JSON.stringify(run.input[String(field)] ?? null).includes('${'))).toEqual([]);
      }
  });
  test('a script arrives as it was written', () => {
    expect(task('quiesce').input['script']).toBe('echo $${HOME}');
  });
  test('is let go as what it has become', () => {
    expect(task('end-move').input).toMatchObject({ outcome: 'succeeded', becomes: { from: smallType.ref, to: largeType.ref } });
  });
  test('the guest must show what the type says', () => {
    expect(task('verify-guest').input['expect']).toEqual({
      bootId: '${tasks.guest-facts.output.facts.bootId}',
      vcpus: 2,
      memoryMiB: 1024,
      disks: [{ serial: 'data', minBytes: 512 * 1_048_576 }],
      macs: ['52:54:00:00:00:00'],
    });
  });
});

test('topologies: without the NIC on the way, with all that is new in the end', () => {
  const { moved, final } = compileMove(input()).params as { moved: ReturnType<typeof topology>; final: ReturnType<typeof topology> };
  expect(moved.nics.map((n) => n.id)).toEqual(['main']);
  expect([vcpusOf(moved), memoryMiBOf(moved)]).toEqual([1, 512]);
  expect([vcpusOf(final), memoryMiBOf(final), final.disks[0]!.sizeMiB]).toEqual([2, 1024, 512]);
  expect(final.vcpus.plugged).toEqual([{ id: 'cpu1', coreId: 1 }]);
  expect(final.memory.dimms).toEqual([{ id: 'dimm0', sizeMiB: 512 }]);
});

test('how many streams carry the memory is told to both ends, and that its guest may be slowed to the source', () => {
  const told = { ...spec(), options: { ...spec().options, streams: 4, throttle: true } };
  const { task } = graph(input({ template: { ref: { name: 'grow', version: 1 }, spec: told } }));
  expect(task('prepare-target').input).toMatchObject({ streams: 4 });
  expect(task('transfer').input).toMatchObject({ streams: 4, throttle: true });
});

describe('a morph', () => {
  const { definition, waitsFor, task } = graph(
    input({ template: { ref: { name: 'grow', version: 2 }, spec: spec({ move: false }) }, target: { hostId: 'h1', spec: large } }),
  );
  test('stays on its host and moves nothing', () => {
    expect(
      byName(definition).filter((n) => ['preflight-target', 'prepare-target', 'transfer', 'switch-over', 'release-source'].includes(n)),
    ).toEqual([]);
    for (const t of definition.tasks) if (t.route.mode === 'direct') expect(t.route.executor).toBe('host:h1');
  });
  test('can be undone until it grows a disk', () => {
    expect(definition.tasks.filter((t) => t.pointOfNoReturn).map((t) => t.name)).toEqual(['grow-data']);
    for (const before of ['plug-cpus', 'plug-memory', 'online-cpus', 'online-memory']) expect(waitsFor('grow-data', before)).toBe(true);
    expect(task('plug-cpus').compensation).toMatchObject({ kind: 'host.unplug', input: { device: { kind: 'cpu', id: 'cpu1' } } });
    expect(task('online-cpus').compensation).toMatchObject({ kind: 'guest.offline-cpus', input: { vcpus: 1 } });
  });
  test('without a disk to grow, until the holds are swapped', () => {
    const target = { ...large, disks: small.disks };
    const grow = templateFromOption({ ...option, move: false }, smallType.ref, small, target);
    const other = graph(input({ template: { ref: { name: 'g', version: 1 }, spec: grow }, target: { hostId: 'h1', spec: target } }));
    expect(other.definition.tasks.filter((t) => t.pointOfNoReturn).map((t) => t.name)).toEqual(['swap-holds']);
    expect(other.waitsFor('end-move', 'swap-holds')).toBe(true);
    expect(other.waitsFor('swap-holds', 'verify-guest')).toBe(true);
  });
});

test('without an agent nothing is asked of the guest', () => {
  const same = templateFromOption({ ...option, targetType: smallType.ref }, smallType.ref, small, small);
  const { definition, task } = graph(
    input({ template: { ref: { name: 'away', version: 1 }, spec: same }, target: { hostId: 'h2', spec: small }, guest: false }),
  );
  expect(definition.tasks.filter((t) => t.kind.startsWith('guest.'))).toEqual([]);
  expect(byName(definition)).toEqual([
    'hold-target',
    'begin-move',
    'preflight-source',
    'preflight-target',
    'check-blockers',
    'prepare-target',
    'transfer',
    'confirm-target',
    'switch-over',
    'release-source',
    'swap-holds',
    'end-move',
  ]);
  expect(task('end-move').after).toEqual(['swap-holds']);
  expect(task('end-move').input['becomes']).toBeUndefined();
});

test('several CPUs are several tasks; a VM half way gets only the rest', () => {
  const target = { ...large, vcpus: { now: 4, max: 4 } };
  const four = templateFromOption(option, smallType.ref, small, target);
  const plugs = (i: MoveInput) => byName(compileMove(i).definition).filter((n) => n.startsWith('plug-cpus'));
  const four1 = input({ template: { ref: { name: 'f', version: 1 }, spec: four }, target: { hostId: 'h2', spec: target } });
  expect(plugs(four1)).toEqual(['plug-cpus-cpu1', 'plug-cpus-cpu2', 'plug-cpus-cpu3']);
  const half = topology(small);
  expect(plugs({ ...four1, vm: vm({ topology: { ...half, vcpus: { ...half.vcpus, plugged: [{ id: 'cpu2', coreId: 2 }] } } }) })).toEqual([
    'plug-cpus-cpu1',
    'plug-cpus-cpu3',
  ]);
});

test('a type that the machine has no room for is checked as what its guest is to see of it', () => {
  const huge = { ...large, vcpus: { now: 16, max: 16 }, memoryMiB: { now: 65_536, max: 65_536 } };
  const hidden = templateFromOption({ ...option, newResources: 'hide' }, smallType.ref, small, huge);
  const { definition, params } = compileMove(
    input({ template: { ref: { name: 'h', version: 1 }, spec: hidden }, target: { hostId: 'h2', spec: huge } }),
  );
  for (const t of definition.tasks.filter((x) => x.kind === 'host.preflight')) expect(t.input['targetSpec']).toBe('${params.shownSpec}');
  expect(params['shownSpec']).toMatchObject({ vcpus: { now: 1 }, memoryMiB: { now: 512 } });
  expect(params['targetSpec']).toEqual(huge);
});

test('a script runs once, or as often as its step says; its undo is asked for again only where nobody answered', () => {
  const once = compileMove(input()).definition.tasks.find((t) => t.name === 'quiesce')!;
  expect(once.retry?.codes).toEqual(['guest.busy', 'guest.script_not_started']);
  expect(once.compensation?.retry?.codes).not.toContain('guest.script_failed');
  expect(once.compensation?.retry?.codes).not.toContain('guest.script_timeout');
  expect(once.compensation?.retry?.codes).toContain('workflow.deadline_passed');
  const more = { ...script('quiesce', 'echo back'), attempts: 3, okExitCodes: [3] } as TemplateStep;
  const template = { ref: { name: 'g', version: 1 }, spec: { ...spec(), preMigration: [more], postMigration: [] } };
  const thrice = compileMove(input({ template })).definition.tasks.find((t) => t.name === 'quiesce')!;
  for (const retry of [thrice.retry, thrice.compensation?.retry]) expect(retry).toMatchObject({ attempts: 3 });
  for (const retry of [thrice.retry, thrice.compensation?.retry]) expect(retry?.codes).toBeUndefined();
  for (const { input: given } of [thrice, thrice.compensation!]) expect(given['okExitCodes']).toEqual([3]);
});

test('a script between steps in the guest is a barrier', () => {
  const post: TemplateStep[] = [script('late')];
  const made = spec({}, post);
  const reordered = { ...made, postMigration: [made.postMigration[0]!, script('between'), ...made.postMigration.slice(1)] };
  const { waitsFor } = graph(input({ template: { ref: { name: 'g', version: 1 }, spec: reordered } }));
  expect(waitsFor('between', 'online-cpus')).toBe(true);
  expect(waitsFor('online-memory', 'between')).toBe(true);
  expect(waitsFor('late', 'online-memory')).toBe(true);
});

describe('CPUs that a type lacks', () => {
  const grown = plugged(topology(), { kind: 'cpu', id: 'cpu1', coreId: 1 });
  const back = templateFromOption({ ...option, targetType: smallType.ref }, largeType.ref, { ...small, vcpus: large.vcpus }, small);
  const shrunk = (change: Partial<MoveInput>) =>
    graph(
      input({
        template: { ref: { name: 'back', version: 1 }, spec: back },
        vm: vm({ type: largeType.ref, spec: { ...small, vcpus: large.vcpus }, topology: grown }),
        target: { hostId: 'h2', spec: small },
        ...change,
      }),
    );
  const verified = ({ task }: ReturnType<typeof graph>) => task('verify-guest').input['expect'];

  test('go from the hardware where they can, and then are not held', () => {
    const g = shrunk({});
    expect(byName(g.definition)).toEqual(expect.arrayContaining(['cpus-before', 'unplug-cpus', 'record-unplugged']));
    expect(g.task('unplug-cpus')).toMatchObject({ kind: 'host.unplug', compensation: { kind: 'host.plug' } });
    expect(g.task('hold-target').input['amounts']).toMatchObject({ vcpu: 1 });
    expect(verified(g)).toMatchObject({ vcpus: 1 });
  });
  test('else are offlined: offline in the guest, in the hardware and held still', () => {
    const g = shrunk({ offlines: true });
    expect(g.task('unplug-cpus')).toMatchObject({ kind: 'guest.offline-cpus', input: { vcpus: 1 }, compensation: { input: { vcpus: 2 } } });
    expect(g.waitsFor('transfer', 'unplug-cpus')).toBe(true);
    expect(byName(g.definition)).not.toContain('record-unplugged');
    expect(g.task('hold-target').input['amounts']).toMatchObject({ vcpu: 2 });
    expect(g.task('swap-holds').input['amounts']).toMatchObject({ vcpu: 2 });
    expect(verified(g)).toMatchObject({ vcpus: 1 });
  });
  test('those of the boot are offlined as well, whatever the hypervisor can', () => {
    const spec = { ...small, vcpus: large.vcpus };
    const g = shrunk({ vm: vm({ type: largeType.ref, spec, topology: topology(spec) }) });
    expect(g.task('unplug-cpus')).toMatchObject({ kind: 'guest.offline-cpus', input: { vcpus: 1 } });
  });
  test('once offlined: a plain move lets them be, a larger type has them back with no plug', () => {
    const offlined = vm({ topology: grown });
    const same = { ...templateFromOption({ ...option, targetType: smallType.ref }, smallType.ref, small, small), preMigration: [] };
    const moved = graph(
      input({ vm: offlined, template: { ref: { name: 'same', version: 1 }, spec: same }, target: { hostId: 'h2', spec: small } }),
    );
    expect(byName(moved.definition).filter((n) => /cpus/.test(n))).toEqual([]);
    expect(moved.task('hold-target').input['amounts']).toMatchObject({ vcpu: 2 });
    // Its guest may have rebooted since, which brings them online: no reason for a move to fail behind its switch-over.
    expect(verified(moved)).toMatchObject({ memoryMiB: memoryMiBOf(grown) });
    expect(verified(moved)).not.toHaveProperty('vcpus');
    const again = graph(input({ vm: offlined }));
    expect(byName(again.definition)).not.toContain('plug-cpus');
    expect(again.task('online-cpus')).toMatchObject({ kind: 'guest.online-cpus', input: { vcpus: 2 } });
    expect(again.waitsFor('online-cpus', 'confirm-target')).toBe(true);
    expect(verified(again)).toMatchObject({ vcpus: 2 });
  });
});
