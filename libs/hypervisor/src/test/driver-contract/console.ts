import { expect, test } from '@jest/globals';
import { CONSOLE_BYTES } from '../../console.ts';
import type { HypervisorDriver } from '../../driver.ts';
import { bootImage, limits, refused } from './rig.ts';
import type { Story } from './story.ts';

/** What is typed comes back from the guest of `bootImage`, and all that it wrote is in a log that goes along with it. */
export const hasConsole = (story: Story): void => {
  const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000c0';
  const log = (driver: HypervisorDriver): string =>
    driver
      .consoleOf(vmId)
      .read(-CONSOLE_BYTES, 2 * CONSOLE_BYTES)
      .bytes.toString();
  const says = async (driver: HypervisorDriver, text: string): Promise<void> => {
    while (!log(driver).includes(text)) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  test('has a console: what is typed gets to the guest, and its log is kept over stop, start, loss of the driver, and a move', async () => {
    const { rig, spec } = story;
    const others = rig.volumes();
    const uuid = '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6ac0';
    const own = { ...spec, vmId, uuid, image: bootImage, nics: [], spec: { ...spec.spec, nics: [], disks: [] } };
    const shaped = await rig.a().boot(own);
    await rig.boots(rig.a(), vmId, 1);
    let heard = Buffer.alloc(0);
    const console = rig.a().consoleOf(vmId);
    const begun = console.end;
    let over = false;
    console.listen((gone) => {
      if (gone) over = true;
      else heard = Buffer.concat([heard, console.read(begun + heard.length, 1_000).bytes]);
    });
    await console.type(Buffer.from('first'));
    await says(rig.a(), 'first');
    expect(heard.toString()).toBe('first');

    await rig.a().halt(vmId);
    await refused(console.type(Buffer.from('x')), 'hypervisor.no_console');
    await rig.a().start(vmId);
    await rig.boots(rig.a(), vmId, 2);
    await rig.a().consoleOf(vmId).type(Buffer.from('second'));
    await says(rig.a(), 'second');
    expect(heard.toString()).toContain('second');

    await rig.lose('a');
    await rig.a().adopt();
    expect(log(rig.a())).toMatch(/first[^]*second/);
    await rig.a().consoleOf(vmId).type(Buffer.from('third'));
    await says(rig.a(), 'third');

    const { migrationAddress: address } = await rig.b().prepareTarget({ vmId, ...shaped });
    expect((await rig.a().migrate(vmId, { address, limits })).outcome).toBe('completed');
    await rig.b().resume(vmId);
    await rig.b().consoleOf(vmId).type(Buffer.from('fourth'));
    await says(rig.b(), 'fourth');
    const before = Buffer.from(log(rig.a()));
    for (const _ of [1, 2]) await rig.b().consoleOf(vmId).continueFrom('mig-1', before);
    expect(log(rig.b()).match(/first|second|third|fourth/g)).toEqual(['first', 'second', 'third', 'fourth']);
    await rig.lose('b');
    await rig.b().adopt();
    await rig.b().consoleOf(vmId).continueFrom('mig-1', before);
    expect(log(rig.b()).match(/first|second|third|fourth/g)).toEqual(['first', 'second', 'third', 'fourth']);

    expect(over).toBe(false); // that driver was lost, and its listeners with it
    const gone = new Promise((resolve) => rig.b().consoleOf(vmId).listen(resolve));
    await rig.b().destroy(vmId, { deleteVolumes: true });
    expect(await gone).toBe(true);
    expect(() => rig.b().consoleOf(vmId)).toThrow(expect.objectContaining({ code: 'hypervisor.vm_unknown' }));
    await rig.a().destroy(vmId, { deleteVolumes: false });
    expect(rig.volumes()).toEqual(others);
  }, 60_000);

  test('a VM whose image asks for a display has one, is pictured, and takes it along', async () => {
    const { rig, spec } = story;
    const others = rig.volumes();
    const uuid = '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6ac1';
    const bare = { ...spec, vmId, uuid, image: bootImage, nics: [], spec: { ...spec.spec, nics: [], disks: [] } };
    await rig.a().boot(bare);
    await refused(rig.a().screen(vmId), 'hypervisor.no_display');
    await rig.a().destroy(vmId, { deleteVolumes: true });

    const shaped = await rig.a().boot({ ...bare, image: { ...bootImage, display: 'vga' } });
    const isPicture = (bytes: Buffer): void => expect(bytes.subarray(0, 8)).toEqual(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'));
    isPicture(await rig.a().screen(vmId));
    await rig.lose('a');
    await rig.a().adopt();
    expect(await rig.a().topology(vmId)).toEqual(shaped);
    const { migrationAddress: address } = await rig.b().prepareTarget({ vmId, ...shaped });
    expect((await rig.a().migrate(vmId, { address, limits })).outcome).toBe('completed');
    await rig.b().resume(vmId);
    expect(await rig.b().topology(vmId)).toEqual(shaped);
    isPicture(await rig.b().screen(vmId));
    await rig.a().destroy(vmId, { deleteVolumes: false });
    await rig.b().destroy(vmId, { deleteVolumes: true });
    expect(rig.volumes()).toEqual(others);
  }, 60_000);
};
