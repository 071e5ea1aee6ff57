import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { guestTasks, hostTasks } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { bootOf, digest, transferOf } from '../test/fixtures.ts';
import { Fleet } from '../test/fleet.ts';

const HOURS_2 = 7_200_000;

describe('hosts whose clocks are two hours off, one ahead and one behind', () => {
  let fleet: Fleet;
  const boot = (hostId: string, vmId: string) => fleet.must(hostTasks.bootVm, hostId, bootOf(vmId));
  beforeAll(async () => {
    fleet = await Fleet.open();
    await Promise.all([
      fleet.host({ hostId: 'ahead', driver: 'simulated', clockAheadMs: HOURS_2 }),
      fleet.host({ hostId: 'behind', driver: 'simulated', clockAheadMs: -HOURS_2 }),
    ]);
  });
  afterAll(() => fleet.stop());

  test.each([
    ['ahead', 'behind'],
    ['behind', 'ahead'],
  ])('a VM boots on the one that is %s, is reached and changed there, and moves', async (from, to) => {
    const vmId = `vm-from-${from}`;
    const moveId = `mov-from-${from}`;
    await boot(from, vmId);
    const grant = await fleet.grant([vmId], [digest('b')]);
    const { topology, topologyHash } = await fleet.must(hostTasks.addAgent, from, { vmId, epoch: 1, grant, package: digest('b') });
    const { facts } = await fleet.must(guestTasks.facts, from, { vmId, epoch: 1 });
    const shape = { topology, topologyHash };
    const target = await fleet.must(hostTasks.prepareTarget, to, { vmId, epoch: 2, moveId, tenant: 'acme', ...shape });
    const moved = await fleet.must(hostTasks.transfer, from, transferOf(vmId, moveId, target));
    expect(moved.downtimeMs).toBeLessThan(60_000);
    await fleet.must(hostTasks.confirmTarget, to, { vmId, epoch: 2, moveId, topologyHash });
    await fleet.must(guestTasks.verify, to, { vmId, epoch: 2, expect: { bootId: facts.bootId, vcpus: 1 } });
    await fleet.must(hostTasks.releaseSource, from, { vmId, epoch: 1, moveId });
  });

  test('each skew is measured and told once', async () => {
    for (const [hostId, expected] of [
      ['ahead', HOURS_2],
      ['behind', -HOURS_2],
    ] as const) {
      const told = await until(async () => {
        const events = await fleet.world.events(fleet.gateway, `host-agent-${hostId}`);
        const measured = events.filter((e) => e.type.includes('clock-measured'));
        return measured.length > 0 ? measured : undefined;
      });
      expect(told).toHaveLength(1);
      expect(Math.abs((told[0]!.data['skewMs'] as number) - expected)).toBeLessThan(5_000);
    }
    expect(await fleet.gateway.service.metrics.metrics()).toMatch(/clock_skew_max_ms\{[^}]*\} 7[12]\d{5}/);
  });
});
