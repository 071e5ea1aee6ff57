import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventsTopic, provisioningEvents, type FromHostAgent, type Observed } from '@chrysalis/contracts';
import { bareTopology, busEvent, until } from '@chrysalis/testing';
import { hello, TestAgent, worldOfTwo, type Gateway, type World } from '../test/harness.ts';

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const seen = (state: Observed['state'], second: number, more: Partial<Observed> = {}): Observed => ({
  state,
  since: at(second),
  resets: 0,
  changes: second,
  ...more,
});
type OnHost = Extract<FromHostAgent, { type: 'heartbeat' }>['vms'][number];

describe('what hosts observe of their VMs', () => {
  let w: World;
  let one: Gateway;
  let two: Gateway;
  let seq = 0;
  const token = (hostId: string): Promise<string> => w.token(`host:${hostId}`, 'host-agent');
  const vm = (vmId: string, epoch: number, observed: Observed, role: OnHost['role'] = 'runner'): OnHost => ({
    vmId,
    epoch,
    role,
    status: 'x',
    observed,
  });
  const beat = (agent: TestAgent, ...vms: OnHost[]): void => agent.send({ type: 'heartbeat', seq: ++seq, at: at(0), vms });
  const recorded = async (vmId: string): Promise<string[]> =>
    (await w.events(one, `observed-${vmId}`)).map(({ data }) => {
      const { hostId, epoch, observed } = data as { hostId: string; epoch: number; observed: Observed };
      return `${hostId}@${epoch} ${observed.state} ${observed.resets}`;
    });
  const untilRecorded = (vmId: string, wanted: string[]): Promise<unknown> =>
    until(async () => JSON.stringify(await recorded(vmId)) === JSON.stringify(wanted));
  const say = async (vmId: string, type: string, data: object): Promise<void> => {
    const event = busEvent(vmId, type, { vmId, ...data }, { tenant: 'acme' });
    await one.service.bus.publish([{ topic: eventsTopic('provisioning'), event }]);
  };
  const placed = async (vmId: string, hostId: string, epoch = 1): Promise<void> => {
    await say(vmId, provisioningEvents.vmPlaced.type, { hostId, epoch });
    await until(async () => (await placeOf(vmId))?.host_id === hostId);
  };
  const placeOf = async (vmId: string): Promise<{ host_id: string; epoch: number } | undefined> =>
    (await one.service.pool.query(`select host_id, epoch from agent_gateway.vm_places where vm_id = $1`, [vmId])).rows[0];

  beforeAll(async () => {
    ({ w, one, two } = await worldOfTwo({ lostAfterMs: 600_000 })); // who is slow here is not lost
  });
  afterAll(() => w.stop());

  test('each change is one event of the VM’s tenant, however often it is said, and over whichever connection', async () => {
    await placed('vm-a', 'h1');
    const agent = await TestAgent.of(one, 'h1', await token('h1'));
    for (let i = 0; i < 5; i++) beat(agent, vm('vm-a', 1, seen('running', 0)));
    await untilRecorded('vm-a', ['h1@1 running 0']);
    agent.close();
    const off = seen('shut-down', 1, { cause: { code: 'vm.shut_down', message: 'the guest powered itself off' } });
    // What happened while the link was away comes with the greeting.
    const again = await TestAgent.of(two, 'h1', await token('h1'), { ...hello('h1', await token('h1')), vms: [vm('vm-a', 1, off)] });
    await untilRecorded('vm-a', ['h1@1 running 0', 'h1@1 shut-down 0']);
    beat(again, vm('vm-a', 1, off));
    beat(again, vm('vm-a', 1, seen('running', 2, { resets: 3 })));
    await untilRecorded('vm-a', ['h1@1 running 0', 'h1@1 shut-down 0', 'h1@1 running 3']);
    const [event] = await one.service.store.read('observed-vm-a', {});
    expect(event!.meta).toMatchObject({ tenant: 'acme', actor: 'host:h1' });
    again.close();
  });

  test('only the host that has the VM is believed, and only at its epoch or above', async () => {
    await placed('vm-b', 'h2');
    const [mine, other] = [await TestAgent.of(one, 'h2', await token('h2')), await TestAgent.of(two, 'h3', await token('h3'))];
    beat(other, vm('vm-b', 1, seen('gone', 1)), vm('vm-nobodys', 1, seen('gone', 1)));
    beat(mine, vm('vm-b', 1, seen('running', 1)));
    await untilRecorded('vm-b', ['h2@1 running 0']);
    // A move: the target speaks of it before the control plane knows, and is heard once it does; the source is not heard any more.
    beat(other, vm('vm-b', 2, seen('running', 2)));
    await say('vm-b', provisioningEvents.vmSwitchedOver.type, switched('h2', 'h3', 2));
    await until(async () => (await placeOf('vm-b'))?.epoch === 2);
    await until(async () => {
      beat(mine, vm('vm-b', 1, seen('io-error', 3)));
      beat(other, vm('vm-b', 1, seen('gone', 3)), vm('vm-b', 2, seen('paused', 3), 'incoming'), vm('vm-b', 2, seen('running', 2)));
      return (await recorded('vm-b')).length === 2;
    });
    expect(await recorded('vm-b')).toEqual(['h2@1 running 0', 'h3@2 running 0']);
    // One that was taken back after its fence runs at a higher epoch than the VM's.
    await until(async () => {
      beat(other, vm('vm-b', 4, seen('running', 5)));
      return (await recorded('vm-b')).length === 3;
    });
    expect(await recorded('vm-b')).toEqual(['h2@1 running 0', 'h3@2 running 0', 'h3@4 running 0']);
    expect(await recorded('vm-nobodys')).toEqual([]);
    await say('vm-b', provisioningEvents.vmDeleted.type, {});
    await until(async () => (await placeOf('vm-b')) === undefined);
    mine.close();
    other.close();
  });

  test('an older connection of a host does not speak after a newer one', async () => {
    await placed('vm-c', 'h4');
    const older = await TestAgent.of(one, 'h4', await token('h4'));
    beat(older, vm('vm-c', 1, seen('running', 1)));
    await untilRecorded('vm-c', ['h4@1 running 0']);
    const newer = await TestAgent.of(two, 'h4', await token('h4'));
    beat(older, vm('vm-c', 1, seen('gone', 9)));
    beat(newer, vm('vm-c', 1, seen('io-error', 2)));
    await untilRecorded('vm-c', ['h4@1 running 0', 'h4@1 io-error 0']);
    expect(await older.closed()).toBe(1008);
    expect(await recorded('vm-c')).toEqual(['h4@1 running 0', 'h4@1 io-error 0']);
    newer.close();
  });
});

const hash = `sha256:${'0'.repeat(64)}`;
const switched = (fromHost: string, toHost: string, epoch: number) => ({
  moveId: 'mov-1',
  fromHost,
  toHost,
  epoch,
  topologyHash: hash,
  topology: bareTopology(),
});
