import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  eventsTopic,
  hostTasks,
  provisioningEvents,
  taskKey,
  type Observed,
  type Outcome,
  type TaskContract,
  type TaskReport,
} from '@chrysalis/contracts';
import { SimulatedDriver, SimulatedStore, SimulatedWorld } from '@chrysalis/hypervisor';
import { busEvent, until } from '@chrysalis/testing';
import { pino } from 'pino';
import { dispatch, publish, world, type Gateway, type World } from '../../../agent-gateway/src/test/harness.ts';
import { startHostAgent, type HostAgent } from '../agent.ts';
import { HostAgentConfig } from '../config.ts';
import { SimulatedGuests } from '../guests/simulated-guests.ts';
import { whileItRuns } from '../tasks/while-it-runs.ts';

const hosts = ['h1', 'h2'] as const;
type Host = (typeof hosts)[number];
const inventory = { total: 8192, reserved: 0, ratioPerMille: 1000, min: 1, max: 8192, step: 1 };
const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 256, max: 512 },
  disks: [{ id: 'data', sizeMiB: 64 }],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const image = { name: 'linux', version: 1, digest: `sha256:${'0'.repeat(64)}`, cmdline: '' };

/** Two hosts in this process, so that tests can do to their guests what guests do by themselves. */
describe('a guest’s real state, from its hypervisor to an event', () => {
  const dir = mkdtempSync(join(tmpdir(), 'chrysalis-observed-'));
  const simulation = new SimulatedWorld();
  const stores = { h1: new SimulatedStore(), h2: new SimulatedStore() };
  const drivers = {} as Record<Host, SimulatedDriver>;
  const agents = {} as Partial<Record<Host, HostAgent>>;
  let w: World;
  let gateway: Gateway;
  let token = Date.now();

  const start = async (hostId: Host): Promise<void> => {
    const config = HostAgentConfig.parse({
      hostId,
      address: '127.0.0.1',
      place: { site: 's', room: 'r', rack: 'k' },
      inventory: { vcpu: inventory, memoryMiB: inventory, diskMiB: inventory },
      networks: { lan: 'isolated' },
      pools: { shared: join(dir, 'pool') },
      imageStore: dir,
      packageStore: dir,
      stateDir: join(dir, hostId),
      gatewayUrl: gateway.agentsUrl,
      token: await w.token(`host:${hostId}`, 'host-agent'),
      driver: 'simulated',
      lookEveryMs: 200,
      reconnect: { minMs: 20, maxMs: 100 },
    });
    const driver = new SimulatedDriver({ host: hostId, world: simulation, store: stores[hostId] });
    drivers[hostId] = driver;
    agents[hostId] = await startHostAgent(config, { driver, guests: new SimulatedGuests(driver), log: pino({ level: 'silent' }) });
  };
  const stop = async (hostId: Host): Promise<void> => {
    await agents[hostId]?.stop();
    delete agents[hostId];
  };
  const run = async (contract: TaskContract, hostId: Host, input: object): Promise<Outcome> => {
    const task = dispatch({
      kind: contract.kind,
      executor: `host:${hostId}`,
      input: input as never,
      token: ++token,
      task: `t-${randomUUID().slice(0, 8)}`,
    });
    await publish(gateway, task);
    return until(async () => {
      const reports = (await w.events(gateway, `task-${task.workflowId}`)).map((e) => e.data as unknown as TaskReport);
      return reports.find((r) => taskKey(r) === taskKey(task))?.outcome;
    });
  };
  const must = async (contract: TaskContract, hostId: Host, input: object): Promise<Record<string, unknown>> => {
    const outcome = await run(contract, hostId, input);
    if (!outcome.ok) throw new Error(`${contract.kind}: ${JSON.stringify(outcome.cause)}`);
    return outcome.output;
  };
  const say = (vmId: string, type: string, data: object): Promise<void> =>
    gateway.service.bus.publish([
      { topic: eventsTopic('provisioning'), event: busEvent(vmId, type, { vmId, ...data }, { tenant: 'acme' }) },
    ]);
  const boot = async (hostId: Host): Promise<string> => {
    const vmId = `vm-${randomUUID()}`;
    await say(vmId, provisioningEvents.vmPlaced.type, { hostId, epoch: 1 });
    await must(hostTasks.bootVm, hostId, {
      vmId,
      epoch: 1,
      uuid: randomUUID(),
      tenant: 'acme',
      spec,
      image,
      pool: 'shared',
      nics: [],
      waitForGuest: true,
    });
    return vmId;
  };
  const told = async (vmId: string): Promise<(Observed & { hostId: string; epoch: number })[]> =>
    (await w.events(gateway, `observed-${vmId}`)).map(({ data }) => {
      const { hostId, epoch, observed } = data as { hostId: string; epoch: number; observed: Observed };
      return { hostId, epoch, ...observed };
    });
  const untilTold = (vmId: string, last: object): Promise<void> =>
    until(async () => {
      try {
        expect((await told(vmId)).at(-1)).toMatchObject(last);
        return true;
      } catch {
        return undefined;
      }
    }).then(async () => expect((await told(vmId)).at(-1)).toMatchObject(last));

  beforeAll(async () => {
    w = await world();
    gateway = await w.start({ heartbeatMs: 200, lostAfterMs: 5_000 });
    for (const h of hosts) await start(h);
  });
  afterAll(async () => {
    for (const h of hosts) await stop(h);
    await w.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('power-off, and a full pool that is mended, are told with their causes; such VMs can be deleted', async () => {
    const vmId = await boot('h1');
    await untilTold(vmId, { hostId: 'h1', epoch: 1, state: 'running', resets: 0 });
    drivers.h1.ioError(vmId);
    await untilTold(vmId, { state: 'io-error', cause: { code: 'vm.io_error' } });
    drivers.h1.continue(vmId);
    await untilTold(vmId, { state: 'running' });
    expect((await told(vmId)).at(-1)).not.toHaveProperty('cause');
    drivers.h1.powerOff(vmId);
    await untilTold(vmId, { state: 'shut-down', cause: { code: 'vm.shut_down' } });
    expect((await told(vmId)).map((o) => o.state)).toEqual(['running', 'io-error', 'running', 'shut-down']);
    await must(hostTasks.destroyVm, 'h1', { vmId, epoch: 1, deleteVolumes: true });
    expect(drivers.h1.list()).not.toContain(vmId);
    const full = await boot('h1');
    drivers.h1.ioError(full);
    await untilTold(full, { state: 'io-error' });
    await must(hostTasks.destroyVm, 'h1', { vmId: full, epoch: 1, deleteVolumes: true });
    expect((await told(full)).at(-1)).toMatchObject({ state: 'io-error' }); // its deletion is no observation
  });

  test('what is asked of a guest that is off, or that goes off while it is asked, fails at once and says why', async () => {
    const vmId = await boot('h1');
    const asked = whileItRuns(drivers.h1, vmId, () => new Promise<never>(() => undefined));
    const failed = expect(asked).rejects.toMatchObject({ code: 'host.vm_not_running', message: expect.stringContaining('no space left') });
    await drivers.h1.status(vmId);
    drivers.h1.ioError(vmId);
    await failed;
    await expect(whileItRuns(drivers.h1, vmId, async () => 'answered')).rejects.toMatchObject({ detail: { code: 'vm.io_error' } });
    drivers.h1.continue(vmId);
    expect(await whileItRuns(drivers.h1, vmId, async () => 'answered')).toBe('answered');
  });

  test('what happened while the agent was away is told when it is back, and what it counted is not lost', async () => {
    const [crashed, restarted] = [await boot('h1'), await boot('h1')];
    for (let i = 0; i < 3; i++) drivers.h1.reset(restarted);
    await untilTold(crashed, { state: 'running' });
    await untilTold(restarted, { state: 'running', resets: 3 });
    const { since } = (await told(restarted)).at(-1)!;
    await stop('h1');
    stores.h1.save({ ...stores.h1.vms.get(crashed)!, state: 'gone' });
    await start('h1');
    await untilTold(crashed, { state: 'gone' });
    drivers.h1.reset(restarted);
    await untilTold(restarted, { state: 'running', resets: 4, since });
  });

  test('a guest that restarts in a loop says so a few times, and then how often', async () => {
    const vmId = await boot('h1');
    await untilTold(vmId, { state: 'running' });
    for (let i = 0; i < 200; i++) {
      drivers.h1.reset(vmId);
      await new Promise((go) => setImmediate(go));
    }
    drivers.h1.powerOff(vmId);
    await until(async () => (await told(vmId)).length >= 2);
    expect((await told(vmId)).length).toBeLessThanOrEqual(9);
  });

  test('a move is not disturbed: neither its pause nor its target is told before the switch-over, and then the target is', async () => {
    const vmId = await boot('h1');
    await untilTold(vmId, { hostId: 'h1', state: 'running' });
    const shown = await drivers.h1.topology(vmId);
    const target = await must(hostTasks.prepareTarget, 'h2', { vmId, epoch: 2, moveId: 'mov-1', tenant: 'acme', ...shown });
    const transfer = { vmId, epoch: 1, newEpoch: 2, moveId: 'mov-1', method: 'pre-copy', downtimeLimitMs: 300, maxBandwidthMiBps: 1024 };
    await must(hostTasks.transfer, 'h1', { ...transfer, ...target });
    await say(vmId, provisioningEvents.vmSwitchedOver.type, { moveId: 'mov-1', fromHost: 'h1', toHost: 'h2', epoch: 2, ...shown });
    await untilTold(vmId, { hostId: 'h2', epoch: 2, state: 'running' });
    await must(hostTasks.releaseSource, 'h1', { vmId, epoch: 1, moveId: 'mov-1' });
    drivers.h2.powerOff(vmId);
    await untilTold(vmId, { hostId: 'h2', state: 'shut-down' });
    expect((await told(vmId)).map((o) => `${o.hostId} ${o.state}`)).toEqual(['h1 running', 'h2 running', 'h2 shut-down']);
  });

  test('a VM whose hypervisor hangs holds up neither heartbeats nor the other VMs', async () => {
    const [hung, other] = [await boot('h2'), await boot('h2')];
    await untilTold(hung, { state: 'running' });
    simulation.faults.add({ operation: 'status', vmId: hung, action: 'hang', ms: 4_000, times: 1 });
    drivers.h2.powerOff(other);
    await untilTold(other, { state: 'shut-down' });
    const { rows } = await gateway.service.pool.query(
      `select now() - last_seen < '2 s' as heard from agent_gateway.agent_sessions where host_id = 'h2'`,
    );
    expect(rows).toEqual([{ heard: true }]);
  });
});
