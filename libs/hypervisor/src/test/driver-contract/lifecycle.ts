import { expect, test } from '@jest/globals';
import { MOVED, disk, nic, limits, refused } from './rig.ts';
import { listen, untilSeen, untilGone, type Story } from './story.ts';

/** A guest powers itself off: told with its cause, also where nobody was there. */
export const powersOff = (story: Story): void => {
  test('a guest that powers itself off is told with its cause, told from a crash also where nobody was there, and destroyed', async () => {
    const { rig, spec } = story;
    const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000ff';
    const other = { ...spec, vmId, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6aff', nics: [], spec: { ...spec.spec, nics: [] } };
    const off = { state: 'gone', running: false, observed: { state: 'shut-down', why: { code: 'vm.shut_down', by: 'guest' } } };
    for (const present of [true, false]) {
      await rig.a().boot(other);
      const heard = listen(rig.a());
      const exited = new Promise<unknown>((resolve) => rig.a().onExit(resolve));
      if (!present) await rig.lose('a');
      await rig.powerOff('a', vmId);
      if (present) {
        expect(await exited).toMatchObject({ vmId });
        expect(heard.of(vmId)).toEqual([['shut-down', 'shut-down', false]]);
      }
      if (!present) await untilGone(async () => (await rig.a().adopt()).find((v) => v.vmId === vmId)!, () => rig.lose('a')); // prettier-ignore
      expect(await rig.a().status(vmId)).toMatchObject(off);
      await refused(rig.a().plug(vmId, disk('late', 4)), 'hypervisor.qemu_exited');
      await rig.a().destroy(vmId, { deleteVolumes: true });
      expect(rig.a().list()).toEqual([MOVED]);
      heard.stop();
    }
  }, 60_000);
};

/** What a guest and its host do to a VM is told and shown; then it ends. */
export const isToldAndEnds = (story: Story): void => {
  test('a stop, a full pool and a restart of the guest are told and shown, and that it goes on', async () => {
    const { rig } = story;
    const heard = listen(rig.b());
    const shows = (observed: object): Promise<void> => untilSeen(rig.b(), MOVED, observed);
    await shows({ state: 'running' });
    await rig.stop('b', MOVED);
    await shows({ state: 'paused', why: { code: 'vm.stopped', by: 'host' } });
    await rig.continue('b', MOVED);
    await shows({ state: 'running' });
    await rig.ioError('b', MOVED);
    await shows({ state: 'io-error', why: { code: 'vm.io_error', message: expect.stringContaining('no space left') } });
    await refused(rig.b().migrate(MOVED, { address: rig.nowhere, limits }), 'hypervisor.not_ready');
    await refused(rig.b().pause(MOVED), 'hypervisor.not_ready');
    for (const _ of [1, 2]) await rig.b().unpause(MOVED);
    await shows({ state: 'running' });
    await rig.reset('b', MOVED);
    await heard.until(MOVED, 'reset');
    await shows({ state: 'running' });
    heard.stop();
    const news = heard.of(MOVED).map(([kind, state]) => `${kind}: ${state}`);
    // Firmware that finds itself started already may reset the machine once more: how often is not ours to say.
    expect(news.filter((n, i) => n !== 'reset: running' || news[i - 1] !== n)).toEqual([
      'stopped: paused',
      'resumed: running',
      'io-error: io-error',
      'resumed: running',
      'reset: running',
    ]);
  }, 30_000);

  test('a process that ends by itself is told, adopted as gone, and can be destroyed', async () => {
    const { rig } = story;
    const told = new Promise<{ vmId: string }>((resolve) => rig.b().onExit(resolve));
    await rig.crash('b', MOVED);
    expect(await told).toMatchObject({ vmId: MOVED });
    await refused(rig.b().plug(MOVED, nic('back', 5)), 'hypervisor.qemu_exited');
    await rig.lose('b');
    expect(await rig.b().adopt()).toMatchObject([{ vmId: MOVED, state: 'gone', observed: { state: 'gone', why: { code: 'vm.gone' } } }]);
    await rig.b().destroy(MOVED, { deleteVolumes: true });
    expect(await rig.b().adopt()).toEqual([]);
  }, 30_000);
};
