import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { memoryMiBOf, vcpusOf, type Topology } from '@chrysalis/contracts';
import { templateFromOption } from '@chrysalis/migration-templates-core';
import { everyShape, small, targetOf, templateOf, type MoveShape } from '@chrysalis/migration-templates-core/testing';
import { until } from '@chrysalis/testing';
import type { Migration } from './test/reads.ts';
import { openSimulatedFleet, type SimulatedFleet } from './test/simulated-fleet.ts';

// Moves and morphs through the services and host agents as they are: undone from the last step that can be, and then through to the end.

/**
 * Each section alone, any three of them, all five: so every two sections are seen together and apart. Besides those the moves without an
 * agent, and those that keep new resources from the guest. The rules of the core's every-shape.test.ts hold for all of them.
 */
const sections = ({ scripts, unplugs, move, grows, hide }: MoveShape): boolean[] => [
  scripts.includes('before'),
  unplugs,
  move,
  grows.length > 0 && !hide,
  scripts.includes('after'),
];
const chosen = (s: MoveShape): boolean => {
  if (s.asks || s.restarts) return false; // approvals.test.ts has those that are asked about; what begins anew has another boot, and no way back live
  if (s.already || s.shrinks.length > 0 || s.scripts.includes('between') || ![0, 3].includes(s.grows.length)) return false;
  if (s.guest && !s.hide) return sections(s).filter(Boolean).length % 2 === 1;
  return s.scripts.length === 0 && (s.guest ? s.move || s.unplugs : !s.unplugs && (s.move || s.hide) && (s.hide || s.grows.length === 0));
};
const shapes = everyShape.filter(chosen);

const small1 = { name: 'small', version: 1 };
type Step = { name: string; state: string };
type Subject = { shape: MoveShape; vmId: string; template: string; toType: string };

let fleet: SimulatedFleet;
let subjects: Subject[];

beforeAll(async () => {
  fleet = await openSimulatedFleet(['h1', 'h2']);
  const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
  await fleet.call('provisioning', 'POST', '/v1/images', { image });
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'small', spec: small });
  subjects = await Promise.all(shapes.map(make));
  await until(async () => (await all((s) => vm(s.vmId))).every((v) => v.status === 'running'));
  await addAgents(subjects.filter((s) => s.shape.guest).map((s) => s.vmId));
});
afterAll(() => fleet?.close());

const make = async (shape: MoveShape, i: number): Promise<Subject> => {
  const changes = shape.unplugs || shape.grows.length > 0;
  const [from, to] = [
    { name: 'small', version: 1 },
    { name: changes ? `type-${i}` : 'small', version: 1 },
  ];
  if (changes) await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: to.name, spec: targetOf(shape) });
  const body = { name: `vm-${i}`, type: 'small@1', image: 'linux@1', host: 'h1' };
  const { vmId } = await fleet.call<{ vmId: string }>('provisioning', 'POST', '/v1/vms', body);
  const { ref } = await soon<{ ref: string }>('/v1/migration-templates', { name: `shape-${i}`, spec: templateOf(shape, { from, to }) });
  return { shape, vmId, template: ref, toType: `${to.name}@1` };
};

/** Asked again while what another service has said is on its way. */
const soon = <T extends object>(path: string, body: object): Promise<T> =>
  until(() =>
    fleet.call<T>('migration-templates', 'POST', path, body).catch((e: Error) => (/unknown/.test(e.message) ? false : Promise.reject(e))),
  );
const ended = <T extends { state: string }>(look: () => Promise<T>, open: string): Promise<T> =>
  until(async () => {
    const seen = await look();
    return seen.state !== open && seen;
  });
const answered = (queryId: string) => ended(() => fleet.reads.query(queryId), 'asked');

/** Under a grant of its own each: all under one would wait for each other. */
const addAgents = async (vmIds: readonly string[]): Promise<void> => {
  for (const vmId of vmIds) await fleet.grant(`grant-${vmId}`, [vmId]);
  await fleet.told('migration_templates.known_grants', vmIds.length);
  const path = '/v1/migration-options-queries';
  const ask = (vmId: string) => soon<{ queryId: string }>(path, { vmIds: [vmId], grantId: `grant-${vmId}` });
  const queries = await Promise.all(vmIds.map(ask));
  for (const { queryId } of queries) expect(await answered(queryId)).toMatchObject({ state: 'answered', source: 'agent' });
};

const vm = (vmId: string) => fleet.reads.vm(vmId);
const all = <T>(work: (s: Subject) => Promise<T>): Promise<T[]> => Promise.all(subjects.map(work));
const migrate = async ({ vmId, template }: Pick<Subject, 'vmId' | 'template'>): Promise<Migration> => {
  const plan = await soon<{ planId: string; moves: { blockers: unknown[] }[] }>('/v1/migration-plans', { template, vmIds: [vmId] });
  expect(plan.moves[0]!.blockers).toEqual([]);
  const { migrationId } = await soon<{ migrationId: string }>('/v1/migrations', { planId: plan.planId });
  return ended(() => fleet.reads.migration(migrationId), 'running');
};

/** What has become of a VM, by the services, by the hosts, and by the ledger. */
const standing = async ({ vmId }: Subject) => {
  const { host, type, status, move } = await vm(vmId);
  const items = await fleet.reads.holds();
  const on = ['h1', 'h2'].filter((h) => fleet.present(h).includes(vmId));
  const topology = (await fleet.running(host)).get(vmId);
  const holds = items.filter((a) => a.consumer === `vm:${vmId}` || a.vm === vmId).map((a) => `${a.consumer}@${a.host}`);
  return {
    type,
    status,
    free: move === undefined,
    on,
    hardware: topology && amounts(topology),
    boot: topology && fleet.inside(host, vmId).facts().bootId,
    holds,
  };
};
const amounts = (t: Topology) => ({
  vcpus: vcpusOf(t),
  memoryMiB: memoryMiBOf(t),
  dataMiB: t.disks.find((d) => d.id === 'data')!.sizeMiB,
  nics: t.nics.map((n) => n.id),
});

/** A VM that has an agent and is moved there and back, and templates for it: plain moves, with scripts before them. */
const mover = (): Subject => subjects.find((s) => s.shape.guest && !s.shape.hide && s.shape.move && s.toType === 'small@1')!;
const plainTemplate = async (name: string, scripts: readonly object[]): Promise<string> => {
  const plain = everyShape.find((s) => s.move && s.guest && !s.unplugs && s.grows.length + s.scripts.length === 0)!;
  const type = { name: 'small', version: 1 };
  const preMigration = scripts.map((script) => ({ kind: 'guest-script', name: 'prepare', timeoutMs: 5_000, ...script }));
  const spec = { ...templateOf(plain, { from: type, to: type }), preMigration };
  return (await soon<{ ref: string }>('/v1/migration-templates', { name, spec })).ref;
};
const withScript = async (name: string, script: object): Promise<{ migration: Migration; runs: number }> => {
  const migration = await migrate({ ...mover(), template: await plainTemplate(name, [script]) });
  return { migration, runs: await fleet.dispatched(migration.moves[0]!.moveId, 'prepare') };
};

describe(`${shapes.length} shapes of moves and morphs on simulated hosts`, () => {
  let before: Awaited<ReturnType<typeof standing>>[];

  test('undone from the last step that can be: each is what it was, where it was, and nothing is held', async () => {
    before = await all(standing);
    const last = { action: 'fail', code: 'injected.last', where: { action: 'run' } };
    fleet.fail({ 'task:host.transfer:before': last, 'task:guest.verify:before': last });
    const undone = subjects.filter((s) => s.shape.move || (s.shape.guest && !sections(s.shape)[3]));
    const seen = await Promise.all(undone.map(async (s) => ({ shape: s.shape.name, migration: await migrate(s) })));
    fleet.fail({});
    for (const { shape, migration } of seen)
      expect([shape, migration.state, migration.cause?.code]).toEqual([shape, 'undone', 'injected.last']);
    expect(await all(standing)).toEqual(before);
  });

  test('through to the end: each runs once, as what it was to become, free for the next move', async () => {
    const seen = await all(async (s) => ({ shape: s.shape.name, migration: await migrate(s) }));
    for (const { shape, migration } of seen) {
      const left = migration.moves[0]!.steps.filter((step) => step.state !== 'done').map((step) => `${step.name} ${step.state}`);
      expect([shape, migration.state, migration.cause, left]).toEqual([shape, 'succeeded', undefined, []]);
    }
    const now = await all(standing);
    for (const [i, { shape, vmId, toType }] of subjects.entries()) {
      const home = shape.move ? 'h2' : 'h1';
      const target = targetOf(shape);
      const was = before[i]!.hardware!;
      const grown = { vcpus: target.vcpus.now, memoryMiB: target.memoryMiB.now, dataMiB: target.disks[0]!.sizeMiB };
      expect([shape.name, now[i]]).toEqual([
        shape.name,
        {
          type: toType,
          status: 'running',
          free: true,
          on: [home],
          hardware: { ...was, ...(shape.hide ? {} : grown), nics: target.nics.map((n) => n.id) },
          boot: before[i]!.boot,
          holds: [`vm:${vmId}@${home}`],
        },
      ]);
    }
  });

  test('and back again, moved or where it is: what was plugged goes, what was taken comes back, a disk that grew stays', async () => {
    const grown = subjects.filter((s) => s.toType !== 'small@1' && s.shape.guest && !s.shape.hide);
    const was = new Map(subjects.map((s, i) => [s.vmId, before[i]!]));
    const seen = await Promise.all(
      grown.map(async (s, i) => {
        const [from, to] = [{ name: s.toType.split('@')[0]!, version: 1 }, small1];
        const option = { targetType: to, move: s.shape.move, method: 'pre-copy' as const, newResources: 'expose' as const };
        const spec = templateFromOption({ ...option, augmentation: [] }, from, targetOf(s.shape), small);
        const { ref } = await soon<{ ref: string }>('/v1/migration-templates', { name: `back-${i}`, spec });
        return { s, migration: await migrate({ vmId: s.vmId, template: ref }) };
      }),
    );
    for (const { s, migration } of seen) {
      expect([s.shape.name, migration.state, migration.cause]).toEqual([s.shape.name, 'succeeded', undefined]);
      const { hardware, ...rest } = was.get(s.vmId)!;
      const dataMiB = targetOf(s.shape).disks[0]!.sizeMiB;
      expect([s.shape.name, await standing(s)]).toEqual([s.shape.name, { ...rest, hardware: { ...hardware!, dataMiB } }]);
    }
  });
});

describe('characterised once', () => {
  type Planned = { blockers: { code: string }[]; without?: { code: string }[]; steps: Step[] };
  const planned = async (template: string): Promise<{ blockers: string[]; without: string[] }> => {
    const { vmId } = mover();
    const { moves } = await soon<{ moves: Planned[] }>('/v1/migration-plans', { template, vmIds: [vmId] });
    return { blockers: moves[0]!.blockers.map((b) => b.code), without: (moves[0]!.without ?? []).map((b) => b.code) };
  };
  const inside = async () => {
    const { vmId } = mover();
    return fleet.inside((await vm(vmId)).host, vmId);
  };
  const asked = (migration: Migration): string[] =>
    migration.moves[0]!.steps.filter((s) => /guest-facts|verify-guest|prepare$/.test(s.name)).map((s) => `${s.name} ${s.state}`);

  test('an agent that ended: a move that needs nothing of it goes, one that does is undone at once and told why', async () => {
    const [plain, scripted] = [await plainTemplate('plain', []), await plainTemplate('scripted', [{ script: 'echo hi' }])];
    (await inside()).hangUp('agent');
    const gone = await migrate({ ...mover(), template: plain });
    expect([gone.state, gone.cause, asked(gone)]).toEqual(['succeeded', undefined, ['guest-facts skipped', 'verify-guest skipped']]);
    const blocked = await migrate({ ...mover(), template: scripted });
    expect([blocked.state, blocked.cause?.code]).toEqual(['undone', 'guest.agent_away']);
    (await inside()).listen('agent');
  });

  test('a guest that started anew, and a grant that is no more: planning says so, and a plain move goes without', async () => {
    const [plain, scripted] = ['plain@1', 'scripted@1'];
    expect(await planned(plain)).toEqual({ blockers: [], without: [] });
    (await inside()).runScript('reboot');
    await until(async () => (await planned(scripted)).blockers.includes('guest.agent_away'));
    expect(await planned(plain)).toEqual({ blockers: [], without: ['guest.agent_away'] });
    const moved = await migrate({ ...mover(), template: plain });
    expect([moved.state, moved.cause, asked(moved)]).toEqual(['succeeded', undefined, []]);

    await fleet.call('agent-gateway', 'DELETE', `/v1/grants/grant-${mover().vmId}`);
    await until(async () => (await planned(scripted)).blockers.includes('grant.revoked'));
    await fleet.grant('again', [mover().vmId]);
    await until(async () => !(await planned(scripted)).blockers.includes('grant.revoked'));
    const path = '/v1/migration-options-queries';
    const { queryId } = await soon<{ queryId: string }>(path, { vmIds: [mover().vmId], grantId: 'again' });
    expect(await answered(queryId)).toMatchObject({ state: 'answered' });
    expect(await planned(scripted)).toEqual({ blockers: [], without: [] });
    const again = await migrate({ ...mover(), template: scripted });
    expect([again.state, asked(again)]).toEqual(['succeeded', ['guest-facts done', 'prepare done', 'verify-guest done']]);
  });
});

describe('a script of a template', () => {
  test('that does not end well fails its step and says what it said; it ran once, or as often as the step says', async () => {
    const script = 'echo no such service: db\nexit 3';
    const once = await withScript('fails', { script });
    expect([once.migration.state, once.migration.cause?.code, once.runs]).toEqual(['undone', 'guest.script_failed', 1]);
    expect(once.migration.cause?.message).toBe('the script ended with exit code 3; it said: no such service: db');
    const thrice = await withScript('fails-thrice', { script, attempts: 3 });
    expect([thrice.migration.state, thrice.migration.cause?.code, thrice.runs]).toEqual(['undone', 'guest.script_failed', 3]);
    const fine = await withScript('fine', { script, okExitCodes: [3] });
    expect([fine.migration.state, fine.migration.cause, fine.runs]).toEqual(['succeeded', undefined, 1]);
  });
});
