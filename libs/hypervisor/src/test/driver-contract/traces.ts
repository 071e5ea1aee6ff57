import { randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import type { Trace } from '@chrysalis/contracts';
import { MOVED } from './rig.ts';
import type { Story } from './story.ts';

/** What a host has of VMs, whoever knows of it, and its end. */
export const leavesTraces = (story: Story): void => {
  test('what it has of a VM is seen, and goes one by one, each once, what it needs last; what another VM has stays', async () => {
    const { rig, spec } = story;
    const driver = rig.a();
    const vmId = `vm-${randomUUID()}`;
    await driver.boot({ ...spec, vmId, uuid: randomUUID(), nics: [], spec: { ...spec.spec, nics: [] } });
    const of = async (id: string): Promise<Trace[]> => (await driver.traces(0)).filter((t) => t.vmId === id);
    const kinds = (traces: readonly Trace[]): string[] => traces.map((t) => t.kind).sort();
    const others = kinds(await of(MOVED));
    const found = await of(vmId);
    expect(kinds(found)).toEqual(['disk', 'folder', 'process']);
    expect(others).toEqual(expect.arrayContaining(['disk', 'folder', 'process']));

    const [process, folder, disk] = ['process', 'folder', 'disk'].map((kind) => found.find((t) => t.kind === kind)!);
    const done = async (trace: Trace | undefined): Promise<string> => (await driver.erase(trace!)).done;
    expect([await done(folder), await done(disk)]).toEqual(['stays', 'stays']); // it runs
    expect([await done(process), await done(process)]).toEqual(['removed', 'gone']);
    expect([await done(disk), driver.list().includes(vmId)]).toEqual(['stays', true]); // it may be started again
    expect(await done({ ...folder!, print: 'another' })).toBe('stays');
    expect([await done(folder), await done(folder), driver.list().includes(vmId)]).toEqual(['removed', 'gone', false]);
    expect(await done({ ...disk!, print: 'another' })).toBe('stays');
    expect([await done(disk), await done(disk)]).toEqual(['removed', 'gone']);
    expect([await of(vmId), kinds(await of(MOVED))]).toEqual([[], others]);
  }, 120_000);
};
