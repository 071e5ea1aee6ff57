import { expect, test } from '@jest/globals';
import type { HypervisorDriver, MigrateRequest } from '../../driver.ts';
import { limits } from './rig.ts';
import type { Story } from './story.ts';

const VM = 'vm-0192f7a0-0000-7000-8000-0000000c0bee';

/** Over several connections, and with the guest's CPUs slowed where it writes faster than is sent: the same guest, there and back. */
export const goesByOtherWays = (story: Story): void => {
  test('a guest goes over several connections, and back slowed down, as it then writes faster than the link', async () => {
    const { rig, spec } = story;
    const small = { ...spec.spec, nics: [], disks: [] };
    await rig.a().boot({ ...spec, vmId: VM, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d0bee', nics: [], spec: small });
    await rig.guestUp(rig.a(), VM);
    const bootId = await rig.bootId(rig.a(), VM);
    const go = async (from: HypervisorDriver, to: HypervisorDriver, how: Partial<MigrateRequest>): Promise<void> => {
      const { topology, topologyHash } = await from.status(VM);
      const { migrationAddress: address } = await to.prepareTarget({ vmId: VM, topology, topologyHash, streams: how.streams });
      const result = await from.migrate(VM, { address, limits, progressEveryMs: 20, ...how });
      if (result.outcome !== 'completed') throw result.cause;
      await to.resume(VM);
      await from.destroy(VM, { deleteVolumes: false });
      expect(await rig.bootId(to, VM)).toBe(bootId);
    };
    await go(rig.a(), rig.b(), { streams: 4 });
    await rig.writes(rig.b(), VM);
    const slow = { downtimeLimitMs: 300, maxBandwidthMiBps: rig.slowMiBps };
    await go(rig.b(), rig.a(), { streams: 2, throttle: true, limits: slow, stallMs: 60_000 });
    await rig.a().destroy(VM, { deleteVolumes: true });
  }, 240_000);
};
