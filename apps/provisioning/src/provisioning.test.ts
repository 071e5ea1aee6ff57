import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseRef, WorkflowRequest, type Seed } from '@chrysalis/contracts';
import { depotName } from '@chrysalis/service-kit/images';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness, image, spec, topologyOf } from './test/harness.ts';

describe('provisioning', () => {
  let h: Harness;
  const events = async (): Promise<number> =>
    Number((await h.running.service.pool.query('select count(*) from provisioning.events')).rows[0].count);

  const kept = async (table: 'vm_types' | 'images'): Promise<Record<string, unknown>[]> =>
    (await h.running.service.pool.query<Record<string, unknown>>(`select * from provisioning.${table} order by name, version`)).rows;

  beforeAll(async () => {
    h = await Harness.start();
  });
  afterAll(() => h?.stop());

  test('types: versions, the same again, and every fault of a bad one', async () => {
    const publish = (body: unknown) => h.http('POST', '/v1/vm-types', body);
    expect(await publish({ name: 'small', spec })).toMatchObject({ status: 201, body: { name: 'small', version: 1 } });
    const bigger = { ...spec, vcpus: { now: 2, max: 4 } };
    expect((await publish({ name: 'small', spec: bigger })).body.version).toBe(2);
    expect((await publish({ name: 'small', spec })).body.version).toBe(1);
    const before = await events();
    const bad = await publish({ name: 'odd', spec: { ...spec, vcpus: { now: 9, max: 4 }, memoryMiB: { now: 7, max: 5 } } });
    expect([bad.status, bad.body.code, bad.body.faults.map((f) => f.path)]).toEqual([
      422,
      'vm-type.invalid',
      ['vcpus.now', 'memoryMiB.now', 'memoryMiB.now', 'memoryMiB.max'],
    ]);
    expect((await publish({ name: 'odd', spec: { ...spec, vcpus: { now: 0, max: 4 } } })).body.code).toBe('vm-type.invalid');
    expect((await publish({ name: 'odd' })).body.errors).toMatchObject([{ path: 'spec' }]);
    expect((await publish({ name: 'Odd', spec, colour: 'red' })).body.errors).toHaveLength(2);
    expect((await publish('{"name"')).body.code).toBe('request.malformed');
    expect(await events()).toBe(before);
    expect((await kept('vm_types')).map((t) => [t['name'], t['version'], t['spec']])).toEqual([
      ['small', 1, spec],
      ['small', 2, bigger],
    ]);
  });

  test('20 at once for one name: each in its turn, and none is a fault of the service', async () => {
    const at20 = (call: (i: number) => Promise<{ status: number; body: { version?: number } }>) =>
      Promise.all(Array.from({ length: 20 }, (_, i) => call(i)));
    const sized = (i: number) => ({ ...spec, vcpus: { now: 1, max: 4 }, memoryMiB: { now: 512, max: 1024 + 128 * i } });
    const published = await at20((i) => h.http('POST', '/v1/vm-types', { name: 'wanted', spec: sized(i) }));
    expect(published.map((a) => a.status)).toEqual(Array.from({ length: 20 }, () => 201));
    expect(published.map((a) => a.body.version!).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    const deprecated = await at20((i) => h.http('POST', `/v1/vm-types/wanted/${i + 1}/deprecate`, { reason: 'all at once' }));
    expect(deprecated.map((a) => a.status)).toEqual(Array.from({ length: 20 }, () => 200));
    const images = await at20((i) => h.http('POST', '/v1/images', { image: { ...image, name: 'wanted', version: i + 1 } }));
    expect(images.map((a) => a.status)).toEqual(Array.from({ length: 20 }, () => 201));
  });

  test('the other dry runs: types, deprecations, images and deletions; nothing is left of any', async () => {
    const left = async () =>
      (
        await h.running.service.pool.query(
          `select (select count(*) from provisioning.events) events, (select count(*) from provisioning.idempotency) answers`,
        )
      ).rows[0];
    await h.http('POST', '/v1/vm-types', { name: 'tried', spec });
    await h.http('POST', '/v1/images', { image });
    const made = await h.http('POST', '/v1/vms', { name: 'tried', type: 'tried@1', image: 'linux@1' });
    const before = await left();
    for (const [path, body] of [
      ['/v1/vm-types', { name: 'never', spec }],
      ['/v1/images', { image: { ...image, name: 'never' } }],
      ['/v1/vm-types/tried/1/deprecate', { reason: 'to see' }],
    ] as const)
      expect(await h.http('POST', `${path}?dryRun=true`, body)).toMatchObject({ status: 200, body: { dryRun: true } });
    expect(await h.http('DELETE', `/v1/vms/${made.body.vmId}?dryRun=true`)).toMatchObject({ status: 409, body: { code: 'vm.not_ready' } });
    expect(await left()).toEqual(before);
    expect((await h.http('POST', '/v1/vms?dryRun=perhaps', {})).body.code).toBe('request.invalid');
  });

  test('a deprecated version takes no new VMs, and names those that are of it', async () => {
    const old = { ...spec, vcpus: { now: 3, max: 4 } };
    const [first, second] = [await h.http('POST', '/v1/vm-types', { name: 'dated', spec: old }), { ...old, vcpus: { now: 4, max: 4 } }];
    expect(first.body.version).toBe(1);
    await h.http('POST', '/v1/vm-types', { name: 'dated', spec: second });
    await h.http('POST', '/v1/images', { image });
    const vm = (await h.http('POST', '/v1/vms', { name: 'aged', type: 'dated@1', image: 'linux@1' })).body;
    const deprecate = (version: number, body: object) => h.http('POST', `/v1/vm-types/dated/${version}/deprecate`, body);
    expect((await deprecate(9, { reason: 'x' })).body.code).toBe('vm-type.unknown');
    expect(await deprecate(1, { reason: 'x', replacement: 'dated@9' })).toMatchObject({
      status: 422,
      body: { code: 'vm-type.unknown', vmType: 'dated@9' },
    });
    expect((await deprecate(1, { reason: 'old', replacement: 'dated@2' })).status).toBe(200);
    expect((await kept('vm_types')).find((t) => t['name'] === 'dated')).toMatchObject({ version: 1, deprecated: { reason: 'old' } });
    expect(await h.http('POST', '/v1/vms', { name: 'late', type: 'dated@1', image: 'linux@1' })).toMatchObject({
      status: 409,
      body: { code: 'vm-type.deprecated', replacement: { name: 'dated', version: 2 } },
    });
    expect(await h.run('op-list', 'vm.list-of-type', { type: 'dated@1' })).toEqual({ ok: true, output: { vmIds: [vm.vmId], more: false } });
    expect(await h.run('op-list', 'vm.list-of-type', { type: 'dated@1', expectNone: true })).toMatchObject({
      ok: false,
      cause: { code: 'vm-type.in_use', retriable: true },
    });
    expect(await h.run('op-list', 'vm.list-of-type', { type: 'dated@2', expectNone: true })).toMatchObject({ ok: true });
  });

  test('images: a version never changes', async () => {
    expect((await h.http('POST', '/v1/images', { image })).status).toBe(201);
    expect((await h.http('POST', '/v1/images', { image })).status).toBe(201);
    expect((await h.http('POST', '/v1/images', { image: { ...image, cmdline: 'loud' } })).body.code).toBe('image.conflict');
    expect((await kept('images')).filter((i) => i['name'] === 'linux').map((i) => i['image'])).toEqual([image]);
    for (const odd of [{ version: 2_147_483_648 }, { version: 1_000_000_000 }, { cmdline: 'quiet\ninit=/bin/sh' }, { cmdline: 'a\u2028b' }])
      expect(await h.http('POST', '/v1/images', { image: { ...image, ...odd } })).toMatchObject({
        status: 422,
        body: { code: 'request.invalid' },
      });
  });

  test('an image that is a disk: its VM holds a root disk as well, and a type without room for it is refused', async () => {
    const disk = { ...image, name: 'whole', cmdline: '', disk: { format: 'qcow2', sizeMiB: 1536 } };
    expect(await h.http('POST', '/v1/images', { image: { ...disk, cmdline: 'quiet' } })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid', errors: [{ path: 'image.cmdline' }] },
    });
    expect(await h.http('POST', '/v1/images', { image: disk })).toMatchObject({ status: 201, body: { image: disk } });
    const larger = { ...disk, disk: { ...disk.disk, sizeMiB: 2048 } };
    expect((await h.http('POST', '/v1/images', { image: larger })).body.code).toBe('image.conflict');
    const rooted = { ...spec, disks: [...spec.disks, { id: 'root', sizeMiB: 1024 }] };
    const full = { ...spec, disks: Array.from({ length: 7 - spec.nics.length }, (_, i) => ({ id: `d${i}`, sizeMiB: 16 })) };
    for (const [name, of] of Object.entries({ plain: spec, rooted, full })) await h.http('POST', '/v1/vm-types', { name, spec: of });
    const create = (type: string) => h.http('POST', '/v1/vms', { name: 'own', type, image: 'whole@1' });
    expect(await create('rooted')).toMatchObject({ status: 422, body: { code: 'image.too_large', needMiB: 1536, sizeMiB: 1024 } });
    expect(await create('full')).toMatchObject({ status: 422, body: { code: 'image.no_room', image: 'whole@1', vmType: 'full@1' } });
    const made = await create('plain');
    expect(made.status).toBe(202);
    const [requested] = await h.running.service.store.read(made.body.vmId);
    const { request } = requested!.data as { request: WorkflowRequest };
    expect(request.params).toMatchObject({ image: disk, amounts: { diskMiB: 1536 + spec.disks.reduce((sum, d) => sum + d.sizeMiB, 0) } });
    expect(request.definition!.tasks.find((t) => t.name === 'boot')!.input).toMatchObject({ waitForGuest: false });
    validateRequest(request);
  });

  test('what a guest is told at its first boot is in its seed alone: in no event, answer or table', async () => {
    await h.http('POST', '/v1/vm-types', { name: 'plain', spec });
    await h.http('POST', '/v1/images', { image });
    const userData = '#cloud-config\npassword: hunter2\n';
    const body = { name: 'told', type: 'plain', image: 'linux@1', seed: { userData, sshKeys: ['ssh-ed25519 AAAA olga'] } };
    const bad = { ...body, seed: { userData: '#cloud-config\n- hunter2\n' } };
    const refused = await h.http('POST', '/v1/vms', bad);
    expect(refused).toMatchObject({ status: 422, body: { code: 'seed.invalid', path: 'seed.userData' } });
    expect((await h.http('POST', '/v1/vms', { ...body, seed: { sshKeys: ['a\nb'] } })).body.code).toBe('request.invalid');
    const before = existsSync(h.depot) ? readdirSync(h.depot) : [];
    expect((await h.http('POST', '/v1/vms?dryRun=true', body)).status).toBe(200);
    expect(existsSync(h.depot) ? readdirSync(h.depot) : []).toEqual(before);
    const made = await h.http('POST', '/v1/vms', body, { headers: { 'idempotency-key': 'told' } });
    expect(made.status).toBe(202);
    const [requested] = await h.running.service.store.read(made.body.vmId);
    const { seed, request } = requested!.data as { seed: Seed; request: WorkflowRequest };
    expect(request.params['seed']).toEqual(seed);
    validateRequest(request);
    const disk = readFileSync(join(h.depot, depotName(seed.digest, 'raw')));
    expect(disk.length).toBe(seed.bytes);
    expect(disk.includes(userData)).toBe(true);
    const { rows } = await h.running.service.pool.query<{ name: string }>(
      `select tablename as name from pg_tables where schemaname = 'provisioning' and tablename <> 'schema_migrations'`,
    );
    for (const { name } of rows) {
      const { rows: told } = await h.running.service.pool.query(`select from provisioning.${name} t where t::text like '%hunter2%'`);
      expect([name, told.length]).toEqual([name, 0]);
    }
    expect(JSON.stringify([refused, made])).not.toContain('hunter2');
  });

  test('a dry run refuses what the real one does, leaves nothing, and its key is free for the real one', async () => {
    const body = { name: 'dry', type: 'dated@2', image: 'linux@1' };
    const [headers, before] = [{ 'idempotency-key': 'dry-1' }, await events()];
    const bad = [{ name: 'Web!' }, { type: 'huge' }, { type: 'dated@9' }, { type: 'dated@1' }, { image: 'bsd@1' }];
    const codes: string[] = [];
    for (const wrong of bad) {
      const [dry, real] = [
        await h.http('POST', '/v1/vms?dryRun=true', { ...body, ...wrong }),
        await h.http('POST', '/v1/vms', { ...body, ...wrong }),
      ];
      expect([dry.status, dry.body.code]).toEqual([real.status, real.body.code]);
      codes.push(dry.body.code);
    }
    expect(codes).toEqual(expect.arrayContaining(['request.invalid', 'vm-type.unknown', 'vm-type.deprecated', 'image.unknown']));
    for (let i = 0; i < 2; i++)
      expect(await h.http('POST', '/v1/vms?dryRun=true', body, { headers })).toMatchObject({ status: 200, body: { dryRun: true } });
    expect((await h.http('POST', '/v1/vms?dryRun=yes', body)).status).toBe(422);
    expect(await events()).toBe(before);
    expect((await h.http('POST', '/v1/vms', body, { headers })).status).toBe(202);
  });

  test('a second VM of one name is made, with a word that the name alone is no more enough', async () => {
    const body = { name: 'twin', type: 'small@1', image: 'linux', host: 'a' };
    const first = await h.http('POST', '/v1/vms', body);
    expect(first.body).not.toHaveProperty('warnings');
    const second = await h.http('POST', '/v1/vms', body);
    expect(second).toMatchObject({ status: 202, body: { warnings: [{ place: 'name', message: `${first.body.vmId} is called twin too: name them by id` }] } });
  }); // prettier-ignore

  test('what a VM is called, its labels and its restart policy change together or not at all', async () => {
    const made = await h.http('POST', '/v1/vms', { name: 'named', type: 'small', image: 'linux@1', labels: { team: 'web', old: 'yes' } });
    const id = made.body.vmId as string;
    const set = (body: object, query = '') => h.http('PATCH', `/v1/vms/${id}${query}`, body);
    const asked = { name: 'shop', labels: { old: null, 'example.org/tier': '2' }, restart: 'always' };
    const becomes = { name: 'shop', labels: { team: 'web', 'example.org/tier': '2' }, restart: 'always' };
    expect(await set(asked, '?dryRun=true')).toMatchObject({ status: 200, body: { ...becomes, dryRun: true } });
    expect(await h.vm(id)).toMatchObject({ name: 'named', labels: { team: 'web', old: 'yes' }, restart: { policy: 'never' } });
    const { body } = await set(asked);
    expect(body).toMatchObject(becomes);
    expect((await set(asked)).body.version).toBe(body.version); // it is so already
    const many = Object.fromEntries(Array.from({ length: 31 }, (_, i) => [`k${i}`, 'v']));
    expect(await set({ name: 'never', labels: many })).toMatchObject({ status: 422, body: { code: 'vm.labels_full' } });
    for (const bad of [
      {},
      { labels: { 'a b': 'c' } },
      { labels: { a: 'x'.repeat(64) } },
      { name: 'X'.repeat(10_000) },
      { labels: { '-a': 'c' } },
    ])
      expect(await set(bad)).toMatchObject({ status: 422, body: { code: 'request.invalid' } });
    expect(await h.vm(id)).toMatchObject({ name: 'shop', version: body.version });
  });

  test('a VM is asked for once per Idempotency-Key, and its workflow is one that can run', async () => {
    const body = { name: 'web', type: 'small@1', image: 'linux', host: 'a' };
    const headers = { 'idempotency-key': 'k1' };
    const [first, again] = await Promise.all([1, 2].map(() => h.http('POST', '/v1/vms', body, { headers })));
    expect([first!.status, first!.body]).toEqual([202, again!.body]);
    expect((await h.http('POST', '/v1/vms', { ...body, name: 'x' }, { headers })).body.code).toBe('idempotency.key_reused');
    const { vmId, operation } = first!.body;
    const [requested] = await h.running.service.store.read(vmId);
    const { request } = requested!.data as { request: WorkflowRequest };
    expect(request).toMatchObject({
      workflowId: operation,
      subject: vmId,
      params: { host: 'a', networks: ['front', 'legacy'], pool: 'shared' },
    });
    expect(validateRequest(WorkflowRequest.parse(request))).toEqual([]);
    expect(await h.vm(vmId)).toMatchObject({ status: 'requested', type: 'small@1', operation, version: 1 });
  });

  test('bad requests for a VM change nothing', async () => {
    const before = await events();
    const body = { name: 'web', type: 'small', image: 'linux' };
    const cases: [unknown, number, string][] = [
      [{ ...body, type: 'huge' }, 422, 'vm-type.unknown'],
      [{ ...body, type: 'small@9' }, 422, 'vm-type.unknown'],
      [{ ...body, image: 'bsd@1' }, 422, 'image.unknown'],
      [{ ...body, name: 'Web!' }, 422, 'request.invalid'],
      [{ ...body, vcpus: 4 }, 422, 'request.invalid'],
      [[], 422, 'request.invalid'],
      ['{', 400, 'request.malformed'],
    ];
    for (const [bad, status, code] of cases) expect(await h.http('POST', '/v1/vms', bad)).toMatchObject({ status, body: { code } });
    expect((await h.http('POST', '/v1/vms', body, { role: 'viewer' })).body.code).toBe('auth.denied');
    expect(await events()).toBe(before);
  });

  test('a hundred VMs at once: no two NICs share an address', async () => {
    const asked = Array.from({ length: 100 }, (_, i) => h.http('POST', '/v1/vms', { name: `n-${i}`, type: 'small', image: 'linux' }));
    const ids = (await Promise.all(asked)).map((a) => a.body.vmId);
    const vms = await Promise.all(ids.map((id) => h.vm(id)));
    const macs = vms.flatMap((vm) => vm.nics.map((n) => n.mac));
    expect(new Set(macs.map((m) => m.slice(-5))).size).toBe(200);
    expect(macs.every((m) => /^52:54:00:0[01]:(1[0-9a-f]|[2-9a-e][0-9a-f]|f[0-9a]):/.test(m))).toBe(true);
  });

  test('another tenant cannot delete it, and hears that there is none', async () => {
    const vm = await h.runningVm();
    const other = { tenant: 'other' };
    expect((await h.http('DELETE', `/v1/vms/${vm.id}`, undefined, other)).body.code).toBe('vm.unknown');
    expect(await h.vm(vm.id)).toEqual(vm);
  });

  test('a move: locked once, switched over, of another type, let go', async () => {
    const vm = await h.runningVm();
    const begin = {
      vmId: vm.id,
      moveId: 'mov-1',
      fromHost: 'a',
      toHost: 'b',
      fromType: { name: 'small', version: 2 },
      toType: { name: 'large', version: 1 },
    };
    expect(await h.run('w1', 'vm.begin-move', { ...begin, expectedVersion: vm.version - 1 })).toMatchObject({
      cause: { code: 'vm.version_outdated' },
    });
    expect(await h.run('w1', 'vm.begin-move', { ...begin, expectedVersion: vm.version })).toEqual({
      ok: true,
      output: { epoch: 1, newEpoch: 2, ...topologyOf(vm) },
    });
    expect(await h.run('w1', 'vm.begin-move', { ...begin, expectedVersion: vm.version })).toMatchObject({ ok: true });
    expect(await h.run('w2', 'vm.begin-move', { ...begin, moveId: 'mov-2' })).toMatchObject({
      cause: { code: 'vm.in_move', retriable: false },
    });
    expect((await h.http('DELETE', `/v1/vms/${vm.id}`)).body.code).toBe('vm.in_move');
    const switchOver = { vmId: vm.id, moveId: 'mov-1', fromHost: 'a', toHost: 'b', epoch: 2, ...topologyOf(vm) };
    expect((await h.run('w1', 'vm.switch-over', switchOver)).ok).toBe(true);
    const large = { ...spec, vcpus: { now: 2, max: 4 } };
    const change = { vmId: vm.id, moveId: 'mov-1', from: begin.fromType, to: begin.toType, spec: large, ...topologyOf(vm, 2) };
    expect((await h.run('w1', 'vm.change-type', change)).ok).toBe(true);
    expect((await h.run('w1', 'vm.end-move', { vmId: vm.id, moveId: 'mov-1', outcome: 'succeeded' })).ok).toBe(true);
    expect((await h.run('w1', 'vm.end-move', { vmId: vm.id, moveId: 'mov-1', outcome: 'succeeded' })).ok).toBe(true);
    const after = await h.vm(vm.id);
    expect(after).toMatchObject({ host: 'b', type: 'large@1', epoch: 2, status: 'running', topologyHash: topologyOf(vm, 2).topologyHash });
    expect(after.move).toBeUndefined();
    expect(after.version).toBe((await h.running.service.store.read(vm.id)).length);
  });

  test('a provisioning that fails ends with the true cause', async () => {
    const { vmId, operation } = (await h.http('POST', '/v1/vms', { name: 'bad', type: 'small', image: 'linux' })).body;
    await h.run(operation, 'vm.record-placement', { vmId, hostId: 'a' });
    expect((await h.run(operation, 'vm.fail-provisioning', { vmId })).ok).toBe(true);
    expect((await h.vm(vmId)).cause?.code).toBe('vm.provisioning_undone');
    const cause = { code: 'hypervisor.boot_failed', message: 'no kernel' };
    await h.ended({ workflowId: operation, subject: vmId, name: 'provision-vm', state: 'undone', cause });
    const vm = await h.eventually(async () => {
      const now = await h.vm(vmId);
      return now.cause?.code === cause.code && now;
    });
    expect([vm.status, vm.host, vm.cause]).toEqual(['failed', undefined, cause]);
  });

  test('deletion: asked once, again after a failure, and then nothing is left', async () => {
    const vm = await h.runningVm();
    const stale = await h.http('DELETE', `/v1/vms/${vm.id}`, undefined, { headers: { 'if-match': '"1"' } });
    expect([stale.status, stale.body.code]).toEqual([412, 'stream.version_mismatch']);
    const first = await h.http('DELETE', `/v1/vms/${vm.id}`);
    expect(first.status).toBe(202);
    expect((await h.http('DELETE', `/v1/vms/${vm.id}`)).body).toEqual(first.body);
    const cause = { code: 'host.unreachable', message: 'no session' };
    await h.ended({ workflowId: first.body.operation, subject: vm.id, name: 'delete-vm', state: 'undone', cause });
    await h.eventually(async () => (await h.vm(vm.id)).status === 'running');
    const second = await h.http('DELETE', `/v1/vms/${vm.id}`);
    expect(second.body.operation).not.toBe(first.body.operation);
    expect((await h.run(second.body.operation, 'vm.record-deleted', { vmId: vm.id })).ok).toBe(true);
    expect((await h.vm(vm.id)).status).toBe('deleted');
    expect((await h.http('DELETE', `/v1/vms/${vm.id}`)).body.code).toBe('vm.unknown');
    const left = await h.running.service.pool.query('select from provisioning.guest_addresses where vm = $1', [vm.id]);
    expect(left.rowCount).toBe(0);
  });

  test('an action: asked once, recorded with its end; a failed one, and what is so already, leave the VM as it is', async () => {
    const vm = await h.runningVm();
    const act = (action: string, body: object = {}, query = '') => h.http('POST', `/v1/vms/${vm.id}/${action}${query}`, body);
    const shows = async (status: string) => expect(await h.vm(vm.id)).toMatchObject({ status, desired: status });
    expect(await act('start')).toMatchObject({ status: 202, body: { vmId: vm.id, status: 'running' } });
    expect(await act('resume')).toMatchObject({ status: 202 });
    expect(await act('stop', {}, '?dryRun=true')).toMatchObject({ status: 200, body: { dryRun: true } });
    await shows('running');
    expect((await act('explode')).body.code).toBe('request.invalid');
    const stale = await h.http('POST', `/v1/vms/${vm.id}/stop`, {}, { headers: { 'if-match': '"1"' } });
    expect([stale.status, stale.body.code]).toEqual([412, 'stream.version_mismatch']);

    const first = await act('stop', { force: true });
    expect(first.status).toBe(202);
    expect((await act('stop', { force: true })).body).toEqual(first.body);
    expect(await h.vm(vm.id)).toMatchObject({
      status: 'running',
      desired: 'stopped',
      action: { action: 'stop', operation: first.body.operation },
    });
    expect((await act('pause')).body.code).toBe('vm.in_action');
    expect((await h.http('DELETE', `/v1/vms/${vm.id}`)).body.code).toBe('vm.in_action');
    const cause = { code: 'host.guest_stays', message: 'it stays' };
    await h.ended({ workflowId: first.body.operation, subject: vm.id, name: 'stop-vm', state: 'undone', cause });
    await h.eventually(async () => (await h.vm(vm.id)).action === undefined);
    await shows('running');

    const second = await act('stop');
    const at = '2026-01-01T00:00:00.000Z';
    expect(await h.run(second.body.operation, 'vm.record-action', { vmId: vm.id, at, how: 'acpi' })).toMatchObject({ ok: true });
    await shows('stopped');
    expect(await act('stop')).toMatchObject({ status: 202, body: { status: 'stopped' } });
    expect(await act('reboot')).toMatchObject({ status: 409, body: { code: 'vm.action_not_possible', fits: ['start'] } });
    const move = { moveId: 'mov-1', fromHost: vm.host, toHost: 'h2', fromType: parseRef(vm.type), toType: parseRef(vm.type) };
    expect(await h.run('w8', 'vm.begin-move', { vmId: vm.id, ...move })).toMatchObject({ ok: false, cause: { code: 'vm.halted' } });
    const third = await act('start');
    expect(await h.run(third.body.operation, 'vm.record-action', { vmId: vm.id, at, ...topologyOf(vm) })).toMatchObject({ ok: true });
    await shows('running');
  });

  test('a task for a VM that is not there is refused, and says so', async () => {
    expect(await h.run('w9', 'vm.end-move', { vmId: 'vm-none', moveId: 'm', outcome: 'undone' })).toMatchObject({
      ok: false,
      cause: { code: 'vm.unknown' },
    });
    expect(await h.run('w9', 'vm.end-move', { vmId: 'vm-none' })).toMatchObject({ ok: false, cause: { code: 'executor.input_invalid' } });
  });
});
