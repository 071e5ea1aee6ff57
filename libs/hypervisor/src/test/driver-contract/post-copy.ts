import { expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { limits, refused } from './rig.ts';
import type { Story } from './story.ts';

const VM = 'vm-0192f7a0-0000-7000-8000-0000000c1a7e';

/** A guest that writes faster than its memory can be sent goes all the same, and what is left of it follows over a cut, and past a lost driver. */
export const goesBeforeItsMemory = (story: Story): void => {
  test('a guest that writes faster than the link runs at the target before its memory is there, and has all of it in the end', async () => {
    const { rig, spec } = story;
    const small = { ...spec.spec, nics: [], disks: [] };
    const { topology, topologyHash } = await rig.a().boot({ ...spec, vmId: VM, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d1a7e', nics: [], spec: small }); // prettier-ignore
    await rig.guestUp(rig.a(), VM);
    const bootId = await rig.bootId(rig.a(), VM);
    await rig.writes(rig.a(), VM);
    const request = { vmId: VM, topology, topologyHash, postCopy: true };
    const { migrationAddress: address } = await rig.b().prepareTarget(request);
    expect([(await rig.a().restOf(VM)).is, (await rig.b().restOf(VM)).is]).toEqual(['none', 'none']);

    const few = { downtimeLimitMs: 50, maxBandwidthMiBps: rig.slowMiBps };
    const result = await rig.a().migrate(VM, { address, limits: few, postCopy: { afterPasses: 1 }, progressEveryMs: 20 });
    if (result.outcome !== 'completed') throw result.cause;
    await refused(rig.a().cancelMigration(VM), 'hypervisor.not_ready');
    await until(async () => (await rig.b().status(VM)).state === 'paused');
    const { resumedAtUs } = await rig.b().resume(VM);
    expect((resumedAtUs - result.stoppedAtUs) / 1000).toBeLessThan(10_000);
    expect([(await rig.a().restOf(VM)).is, (await rig.b().restOf(VM)).is]).toEqual(['sending', 'sending']);
    expect(await rig.a().status(VM)).toMatchObject({ running: false });

    await rig.cut(VM);
    await until(async () => (await rig.a().restOf(VM)).is === 'cut');
    await rig.lose('a'); // what is left is the hypervisor's, and not the driver's
    await rig.a().adopt();
    expect((await rig.a().restOf(VM)).is).toBe('cut');
    await refused(rig.a().cancelMigration(VM), 'hypervisor.not_ready');
    const again = await rig.b().reopen(VM);
    await rig.a().resend(VM, again.migrationAddress);
    const left: number[] = [];
    await until(async () => {
      const { is, progress } = await rig.a().restOf(VM);
      if (is === 'sending') left.push(progress!.bytesRemaining);
      return is === 'whole';
    }, 30_000);
    expect(left).toEqual(left.toSorted((x, y) => y - x));
    await until(async () => (await rig.b().restOf(VM)).is === 'whole');
    expect(await rig.a().status(VM)).toMatchObject({ running: false });
    expect(await rig.b().status(VM)).toMatchObject({ role: 'runner', running: true });
    expect(await rig.bootId(rig.b(), VM)).toBe(bootId);
    await rig.a().destroy(VM, { deleteVolumes: false });
    await rig.b().destroy(VM, { deleteVolumes: true });
  }, 180_000);

  test('a target that is gone fails a post-copy that has not begun: the source runs on', async () => {
    const { rig, spec } = story;
    const small = { ...spec.spec, nics: [], disks: [] };
    await rig.a().boot({ ...spec, vmId: VM, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d1a7f', nics: [], spec: small });
    const failed = await rig.a().migrate(VM, { address: rig.nowhere, limits, postCopy: { afterPasses: 1 } });
    expect(failed).toMatchObject({ outcome: 'failed', running: true, cause: { code: 'hypervisor.migration_failed' } });
    expect([(await rig.a().restOf(VM)).is, (await rig.a().status(VM)).running]).toEqual(['none', true]);
    await rig.a().destroy(VM, { deleteVolumes: true });
  }, 60_000);
};
