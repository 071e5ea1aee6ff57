import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { facts, small } from '@chrysalis/migration-templates-core/testing';
import { openFleet } from '../test/fleet.ts';
import type { Migration } from '../test/reads.ts';

// Through the four services as they are: who is asked, who answers, and what becomes of the move.

let fleet: Awaited<ReturnType<typeof openFleet>>;
let vmId: string;

beforeAll(async () => {
  fleet = await openFleet(['h1', 'h2'].map((h) => facts(h, { methods: ['pre-copy', 'restart'] })));
  await fleet.until(async () => (await fleet.reads.hosts()) === 2);
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'small', spec: small });
  const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
  await fleet.call('provisioning', 'POST', '/v1/images', { image });
  const wish = { name: 'butterfly', type: 'small@1', image: 'linux@1', host: 'h1' };
  ({ vmId } = await fleet.call<{ vmId: string }>('provisioning', 'POST', '/v1/vms', wish));
  await fleet.until(async () => (await vm()).status === 'running');
});
afterAll(() => fleet?.close());

const vm = () => fleet.reads.vm(vmId);
const call = <T = Record<string, never>>(method: string, path: string, body: object = {}) =>
  fleet.call<T>('migration-templates', method, path, body);
const word = (id: string, verb: 'approve' | 'reject', body: object = {}) => call('POST', `/v1/migrations/${id}/${verb}`, body);
const refusal = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'accepted',
    (e: { answer: { code: string } }) => e.answer.code,
  );
type Told = { type: string; data: { verdict?: string; by?: string; until?: string } };
const told = async (id: string): Promise<Told[]> =>
  (await fleet.pool.query<Told>(`select type, data from migration_templates.events where type like '%approval%' and data ->> 'migrationId' = $1 order by version`, [id])).rows; // prettier-ignore
const waitingRows = async (): Promise<number> => (await fleet.pool.query('select from migration_templates.approvals')).rowCount ?? 0;

let templates = 0;
/** A move to the other host, begun. */
const begin = async (approval: object, method: 'pre-copy' | 'restart' = 'pre-copy'): Promise<string> => {
  const name = `asks-${++templates}`;
  const type = { name: 'small', version: 1 };
  const options = {
    ...{ targetType: type, method, newResources: 'expose', emulateIncompatible: false, augmentation: [] },
    ...{ downtimeLimitMs: 300, maxBandwidthMiBps: 1_000, approval },
  };
  const sections = { preMigration: [], hotUnplug: [], hotPlug: [], postMigration: [] };
  const spec = { sourceType: type, options, ...sections, migration: [{ kind: 'live-migration', name: 'go' }] };
  await call('POST', '/v1/migration-templates', { name, spec });
  const plan = await call<{ planId: string }>('POST', '/v1/migration-plans', { template: `${name}@1`, vmIds: [vmId] });
  return (await call<{ migrationId: string }>('POST', '/v1/migrations', { planId: plan.planId })).migrationId;
};
const asked = (id: string) => fleet.until(async () => (await waitingRows()) === 1 && (await told(id)).length > 0);
const ended = (id: string): Promise<Migration> =>
  fleet.until(async () => {
    const m = await fleet.reads.migration(id);
    return m.state !== 'running' && m;
  });
const away = async (): Promise<string> => ((await vm()).host === 'h1' ? 'h2' : 'h1');
const anHour = { withinMs: 3_600_000, onTimeout: 'abort' };

describe.each(['pre-copy', 'restart'] as const)('%s', (method) => {
  test('approved, it switches over; the answer names who gave it, and comes once', async () => {
    const there = await away();
    const id = await begin(anHour, method);
    await asked(id);
    expect(await refusal(word(id, 'approve', { vmId: 'vm-0199c0de-0000-7000-8000-00000000ffff' }))).toBe('migration.approval_not_asked');
    await word(id, 'approve', { vmId, reason: 'seen' });
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    expect(await vm()).toMatchObject({ host: there });
    expect((await told(id)).map(({ data }) => [data.verdict, data.by])).toEqual([
      [undefined, undefined],
      ['approved', 'user:olga'],
    ]);
    expect(await refusal(word(id, 'approve'))).toBe('migration.ended');
    expect(await waitingRows()).toBe(0);
  });

  test('rejected, it is undone, and a second word comes too late', async () => {
    const { host } = await vm();
    const id = await begin(anHour, method);
    await asked(id);
    await word(id, 'reject', { reason: 'not today' });
    expect(['migration.approval_settled', 'migration.ended']).toContain(await refusal(word(id, 'approve')));
    const cause = { code: 'migration.approval_rejected', message: 'user:olga rejected it: not today' };
    expect(await ended(id)).toMatchObject({ state: 'undone', cause });
    expect(await vm()).toMatchObject({ host, status: 'running' });
  });

  test('answered by nobody in time, it does what its template says', async () => {
    const [{ host }, there] = [await vm(), await away()];
    const aborted = await ended(await begin({ withinMs: 200, onTimeout: 'abort' }, method));
    expect(aborted).toMatchObject({ state: 'undone', cause: { code: 'migration.approval_timed_out' } });
    expect((await vm()).host).toBe(host);
    expect(await ended(await begin({ withinMs: 200, onTimeout: 'switch' }, method))).toMatchObject({ state: 'succeeded' });
    expect((await vm()).host).toBe(there);
  });

  test('cancelled while it waits, it is undone, and nobody is asked any more', async () => {
    const id = await begin(anHour, method);
    await asked(id);
    await call('POST', `/v1/migrations/${id}/cancel`);
    await fleet.until(async () => (await told(id)).some((e) => e.data.verdict === 'moot'));
    expect(await waitingRows()).toBe(0);
    if (method === 'pre-copy') await fleet.endHeld('task.cancelled');
    expect(await ended(id)).toMatchObject({ state: 'undone', cause: { code: 'workflow.cancelled' } });
  });
});

test('its transfer fails while it waits: undone at once, with that cause', async () => {
  fleet.fail.set('transfer', 'injected.transfer');
  const id = await begin(anHour);
  expect(await ended(id)).toMatchObject({ state: 'undone', cause: { code: 'injected.transfer' } });
  fleet.fail.clear();
  expect((await told(id)).map((e) => e.data.verdict)).toEqual([undefined, 'moot']);
  expect(await waitingRows()).toBe(0);
});

test('a template that moves nothing asks nobody', async () => {
  const type = { name: 'small', version: 1 };
  const options = {
    ...{ targetType: type, method: 'pre-copy', newResources: 'expose', emulateIncompatible: false, augmentation: [] },
    ...{ downtimeLimitMs: 300, maxBandwidthMiBps: 1_000, approval: anHour },
  };
  const spec = { sourceType: type, options, preMigration: [], hotUnplug: [], migration: [], hotPlug: [], postMigration: [] };
  const { findings } = await call<{ findings: { code: string; path: string }[] }>('POST', '/v1/migration-templates/validate', { spec });
  expect(findings).toEqual([expect.objectContaining({ path: 'options.approval', code: 'template.approval_without_move' })]);
});
