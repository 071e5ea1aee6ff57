import { expect, test } from '@jest/globals';
import { stateFile, topologyHash } from '@chrysalis/contracts';
import type { HypervisorDriver, SuspendRequest, Suspended } from '../../driver.ts';
import { bootSpec, refused } from './rig.ts';
import type { Story } from './story.ts';

const VM = 'vm-0192f7a0-0000-7000-8000-00000005a7ed';
const place = (move: string) => ({ pool: 'shared', file: stateFile(VM, move) });

const saving = (from: HypervisorDriver, move: string, over: Partial<SuspendRequest> = {}): Promise<Suspended> =>
  from.suspend(VM, { ...place(move), maxBandwidthMiBps: 1024, progressEveryMs: 20, stallMs: 20_000, ...over });
const savedOf = (s: Suspended) => {
  if (s.outcome === 'failed') throw s.cause;
  return s.saved;
};

/** A VM goes to another host by a file of a pool that both see: it fails in each way and harms nothing, and then it goes there and back. */
export const suspends = (story: Story): void => {
  let bootId = '';
  const waits = async (to: HypervisorDriver, from: HypervisorDriver): Promise<void> => {
    const { topology } = await from.status(VM);
    const request = { vmId: VM, topology, topologyHash: topologyHash(topology), restores: true };
    const prepared = await to.prepareTarget(request);
    expect(await to.prepareTarget(request)).toEqual(prepared);
  };
  const unharmed = async (): Promise<void> => {
    const { rig } = story;
    expect(await rig.a().status(VM)).toMatchObject({ state: 'running', role: 'runner', migrating: false });
    expect(await rig.bootId(rig.a(), VM)).toBe(bootId);
  };

  test('one that is to go by a file runs on where that cannot be written or is cancelled', async () => {
    const { rig, spec } = story;
    const uuid = '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d5a7e';
    await rig.a().boot({ ...bootSpec(VM, { image: spec.image, nics: [] }), uuid });
    await rig.guestUp(rig.a(), VM);
    bootId = await rig.bootId(rig.a(), VM);
    await refused(rig.a().suspend(VM, { pool: 'nowhere', file: 'x.save', maxBandwidthMiBps: 1 }), 'hypervisor.pool_unknown');
    const abort = new AbortController();
    const slow = saving(rig.a(), 'mov-cancelled', { maxBandwidthMiBps: 8, onProgress: () => abort.abort(), signal: abort.signal });
    expect(await slow).toMatchObject({ outcome: 'failed', running: true, cause: { code: 'hypervisor.migration_cancelled' } });
    await rig.a().dropState(...(Object.values(place('mov-cancelled')) as [string, string]));
    await unharmed();
  }, 120_000);

  test('a file that is another than was written, or gone, is not loaded, and the guest goes on where it was', async () => {
    const { rig } = story;
    await waits(rig.b(), rig.a());
    const saved = savedOf(await saving(rig.a(), 'mov-wrong'));
    expect(await rig.a().status(VM)).toMatchObject({ running: false, migrating: false });
    const wrong = { ...saved, digest: `sha256:${'0'.repeat(64)}` };
    await refused(rig.b().restore(VM, { ...place('mov-wrong'), ...wrong }), 'hypervisor.save_corrupt');
    await refused(rig.b().restore(VM, { ...place('mov-none'), ...saved }), 'hypervisor.save_corrupt');
    expect(await rig.b().status(VM)).toMatchObject({ state: 'inmigrate' });
    await refused(rig.b().resume(VM), 'hypervisor.not_ready');
    await rig.b().destroy(VM, { deleteVolumes: true });
    await rig.a().reclaim(VM);
    await unharmed();
    expect(rig.volumes().filter((f) => f.endsWith('.save'))).toHaveLength(1);
    await rig.a().dropState('shared', place('mov-wrong').file);
  }, 120_000);

  test('it goes on at the other host as the guest that it was, also where drivers are lost between, and back', async () => {
    const { rig } = story;
    for (const [from, to] of [['a', 'b'], ['b', 'a']] as const) {
      await waits(rig[to](), rig[from]());
      const heard: number[] = [];
      const saved = savedOf(await saving(rig[from](), from, { onProgress: (p) => heard.push(p.bytesRemaining) }));
      await rig[from]().topology(VM); // behind what it still writes down: one that is lost leaves no writer
      expect(heard).toEqual([...heard].sort((x, y) => y - x));
      await rig.lose(from);
      await rig[from]().adopt();
      await rig.lose(to);
      await rig[to]().adopt();
      await rig[to]().restore(VM, { ...place(from), ...saved });
      await rig[to]().restore(VM, { ...place(from), ...saved });
      expect(await rig[to]().status(VM)).toMatchObject({ role: 'incoming', state: 'paused' });
      const { resumedAtUs } = await rig[to]().resume(VM);
      expect(await rig[to]().resume(VM)).toEqual({ resumedAtUs });
      expect(await rig.bootId(rig[to](), VM)).toBe(bootId);
      for (const _ of [1, 2]) await rig[from]().dropState('shared', place(from).file);
      await rig[from]().destroy(VM, { deleteVolumes: false });
    } // prettier-ignore
    await rig.a().destroy(VM, { deleteVolumes: true });
  }, 240_000);
};
