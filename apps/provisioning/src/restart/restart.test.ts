import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Harness, image, spec } from '../test/harness.ts';
import type { VmView } from '../vm-view.ts';
import { Restarts } from './restarts.ts';

const LATER_MS = 3_600_000;

describe('restart policies', () => {
  let h: Harness;
  const policyEvents = async (vmId: string): Promise<string[]> =>
    (await h.running.service.store.read(vmId)).map((e) => e.type.replace(/^chrysalis\.provisioning\.vm\.|\.v1$/g, '')).slice(3);
  /** A replica whose clock is that much ahead: what is planned is due there. */
  const replica = (aheadMs = LATER_MS): Restarts =>
    new Restarts({ ...h.running.service, clock: () => new Date(Date.now() + aheadMs).toISOString() });
  const planned = (vmId: string): Promise<VmView> =>
    h.eventually(async () => {
      const vm = await h.vm(vmId);
      return vm.restart.due ? vm : undefined;
    });
  const set = (vmId: string, restart: string, query = '') => h.http('PATCH', `/v1/vms/${vmId}${query}`, { restart });
  const gone = { state: 'gone', since: '2026-01-01T00:05:00.000Z' } as const;

  beforeAll(async () => {
    h = await Harness.start();
    await h.http('POST', '/v1/vm-types', { name: 'small', spec });
    await h.http('POST', '/v1/images', { image });
  });
  afterAll(() => h?.stop());

  test('is given at creation and changed later; one that is none is refused', async () => {
    const made = await h.http('POST', '/v1/vms', { name: 'web', type: 'small', image: 'linux@1', restart: 'on-failure' });
    expect((await h.vm(made.body.vmId)).restart).toEqual({ policy: 'on-failure', attempts: 0 });
    expect(await set(made.body.vmId, 'always', '?dryRun=true')).toMatchObject({ status: 200, body: { restart: 'always', dryRun: true } });
    expect((await h.vm(made.body.vmId)).restart.policy).toBe('on-failure');
    expect(await set(made.body.vmId, 'always')).toMatchObject({ status: 200, body: { restart: 'always' } });
    expect((await h.vm(made.body.vmId)).restart.policy).toBe('always');
    expect(await set(made.body.vmId, 'sometimes')).toMatchObject({ status: 422, body: { code: 'request.invalid' } });
    expect((await set('vm-none', 'always')).body.code).toBe('vm.unknown');
  });

  test('a VM whose process is gone is started when its time has come: once, by whichever of two replicas', async () => {
    const { id } = await h.runningVm('killed');
    await set(id, 'on-failure');
    await h.sees(id, 1, gone);
    expect((await planned(id)).restart).toMatchObject({ attempts: 1, due: { observed: { state: 'gone' } } });
    await replica(0).look();
    expect((await h.vm(id)).action).toBeUndefined();
    await Promise.all([replica().look(), replica().look(), replica().look()]);
    expect(await policyEvents(id)).toEqual(['restart-policy-set', 'restart-planned', 'action-requested']);
    const started = (await h.running.service.store.read(id)).at(-1)!;
    expect(started).toMatchObject({
      data: { action: 'start', restart: { attempt: 1, observed: gone }, request: { params: { vmId: id, hostId: 'a', epoch: 1 } } },
      meta: { actor: 'service:provisioning', tenant: 'main' },
    });
  });

  test('an action that does not fit what its host sees is refused at once, with what to type; that is done without force', async () => {
    const { id } = await h.runningVm('off');
    const act = (action: string) => h.http<Record<string, unknown>>('POST', `/v1/vms/${id}/${action}`, {});
    expect((await act('start')).body).toEqual({ vmId: id, status: 'running' });
    await h.sees(id, 1, { ...gone, state: 'shut-down' });
    await h.eventually(async () => (await act('start?dryRun=true')).body['operation'] !== undefined);
    for (const action of ['pause', 'resume', 'reboot', 'reset'])
      expect(await act(action)).toMatchObject({
        status: 409,
        body: { code: 'vm.action_not_possible', observed: 'shut-down', fits: ['start', 'stop'], next: `chrysalis vm start ${id}` },
      });
    expect(await act('start')).toMatchObject({ status: 202, body: { operation: expect.any(String) } });
  });

  test('one that panicked is started by hand and by policy, as what is advised for it says; one that stands still is resumed', async () => {
    const act = (id: string, action: string) => h.http<Record<string, unknown>>('POST', `/v1/vms/${id}/${action}`, {});
    const [byHand, byPolicy, still] = [await h.runningVm('oops'), await h.runningVm('oops-again'), await h.runningVm('still')];
    await set(byPolicy.id, 'on-failure');
    for (const { id } of [byHand, byPolicy]) await h.sees(id, 1, { ...gone, state: 'panicked' });
    await h.sees(still.id, 1, { ...gone, state: 'paused' });
    await h.eventually(async () => (await act(byHand.id, 'start?dryRun=true')).body['operation'] !== undefined);
    expect(await act(byHand.id, 'reset')).toMatchObject({
      status: 409,
      body: { type: expect.stringMatching(/problems\/vm\.action_not_possible$/), status: 409, state: 'running', observed: 'panicked', fits: ['start', 'stop'], next: `chrysalis vm start ${byHand.id}` },
    }); // prettier-ignore
    expect(await act(byHand.id, 'start')).toMatchObject({ status: 202, body: { operation: expect.any(String) } });
    await planned(byPolicy.id);
    await replica().look();
    expect((await h.vm(byPolicy.id)).action).toMatchObject({ action: 'start' });
    await h.eventually(async () => (await act(still.id, 'resume?dryRun=true')).body['operation'] !== undefined);
    expect(await act(still.id, 'resume')).toMatchObject({ status: 202, body: { operation: expect.any(String) } });
  });

  test('what was seen while an action had the VM is considered when that has failed', async () => {
    const { id } = await h.runningVm('busy');
    await set(id, 'on-failure');
    const stop = (await h.http('POST', `/v1/vms/${id}/reboot`, {})).body.operation;
    await h.sees(id, 1, gone);
    await h.eventually(
      async () => (await h.running.service.pool.query('select from provisioning.sightings where vm = $1', [id])).rowCount === 1,
    );
    await replica(0).look();
    expect((await h.vm(id)).restart.due).toBeUndefined();
    await h.ended({
      workflowId: stop,
      subject: id,
      name: 'reboot-vm',
      state: 'undone',
      cause: { code: 'host.guest_stays', message: 'no' },
    });
    await planned(id);
  });

  test('a stop that is asked for meanwhile, and a deletion, leave nothing to start', async () => {
    const { id } = await h.runningVm('unwanted');
    await set(id, 'always');
    await h.sees(id, 1, gone);
    await planned(id);
    expect((await h.http('POST', `/v1/vms/${id}/stop`, {})).status).toBe(202);
    await replica().look();
    expect(await policyEvents(id)).toEqual(['restart-policy-set', 'restart-planned', 'action-requested']);
    expect((await h.vm(id)).action).toMatchObject({ action: 'stop' });
  });

  test('a guest that shut itself down stays off on failure, and is started always', async () => {
    const [calm, eager] = [await h.runningVm('calm'), await h.runningVm('eager')];
    await set(calm.id, 'on-failure');
    await set(eager.id, 'always');
    for (const { id } of [calm, eager]) await h.sees(id, 1, { ...gone, state: 'shut-down' });
    await planned(eager.id);
    await replica().look();
    expect(await policyEvents(calm.id)).toEqual(['restart-policy-set']);
    expect(await policyEvents(eager.id)).toEqual(['restart-policy-set', 'restart-planned', 'action-requested']);
  });
});
