import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { MOVED, nic, refused } from './rig.ts';
import { expectItRunsOn, listen, type Story } from './story.ts';

const save = { downtimeLimitMs: 300, maxPauseMs: 5_000, deadlineMs: 30_000 };

/** What a running VM has in memory is written to a file, and the VM runs on whatever becomes of that. */
export const saves = (story: Story): void => {
  test('saves what a running VM has in memory to a file, and the VM runs on', async () => {
    const { rig, saves } = story;
    const file = join(saves, 'first');
    const heard = listen(rig.a());
    const saved = await rig.a().saveState(MOVED, { ...save, file });
    heard.stop();
    expect(heard.of(MOVED).filter(([kind, , migrating]) => kind === 'stopped' && !migrating)).toEqual([]);
    await expectItRunsOn(story);
    const { topologyHash: hash } = await rig.a().status(MOVED);
    expect(saved).toMatchObject({ topologyHash: hash, bytes: statSync(file).size });
    const pausedMs = (saved.resumedAtUs - saved.stoppedAtUs) / 1000;
    expect(pausedMs).toBeGreaterThanOrEqual(0);
    expect(pausedMs).toBeLessThan(10_000);
    process.stdout.write(`${story.kind}: saved ${saved.bytes} bytes, the guest stood still for ${pausedMs.toFixed(1)} ms\n`);
    const again = await rig.a().saveState(MOVED, { ...save, file: join(saves, 'second') });
    expect(again.stoppedAtUs).toBeGreaterThan(saved.resumedAtUs);
  }, 60_000);

  test('a save that cannot be written, takes too long or is cancelled leaves the VM running', async () => {
    const { rig, saves } = story;
    await refused(rig.a().saveState(MOVED, { ...save, file: join(saves, 'no', 'directory') }), 'hypervisor.save_failed');
    await expectItRunsOn(story);
    const there = join(saves, 'there');
    writeFileSync(there, 'another');
    await refused(rig.a().saveState(MOVED, { ...save, file: there }), 'hypervisor.save_failed');
    expect(readFileSync(there, 'utf8')).toBe('another');
    const slow = { ...save, downtimeLimitMs: 1 };
    await refused(rig.a().saveState(MOVED, { ...slow, deadlineMs: 5, file: join(saves, 'late') }), 'hypervisor.save_timeout');
    await expectItRunsOn(story);
    await refused(rig.a().saveState(MOVED, { ...save, maxPauseMs: 1, file: join(saves, 'still') }), 'hypervisor.save_timeout');
    await expectItRunsOn(story);
    const abort = AbortSignal.abort();
    const stopped = rig.a().saveState(MOVED, { ...slow, file: join(saves, 'cancelled'), signal: abort });
    await refused(stopped, 'hypervisor.migration_cancelled');
    await expectItRunsOn(story);
  }, 60_000);

  test('during a save nothing else is done to the VM, and a second save is refused', async () => {
    const { rig, saves } = story;
    const saving = rig.a().saveState(MOVED, { ...save, downtimeLimitMs: 1, file: join(saves, 'long') });
    while (!(await rig.a().status(MOVED)).migrating) await new Promise((resolve) => setImmediate(resolve));
    await refused(rig.a().plug(MOVED, nic('back', 5)), 'hypervisor.migrating');
    await refused(rig.a().saveState(MOVED, { ...save, file: join(saves, 'beside') }), 'hypervisor.migrating');
    await saving;
    await expectItRunsOn(story);
  }, 60_000);

  test('a VM that a killed driver left standing in a save is continued by the next one', async () => {
    const { rig } = story;
    await rig.strandInSave(MOVED);
    expect(await rig.a().adopt()).toMatchObject([{ vmId: MOVED, state: 'running', role: 'runner' }]);
    await expectItRunsOn(story);
    await rig.lose('a');
    await rig.a().adopt();
    await expectItRunsOn(story);
  }, 60_000);
};
