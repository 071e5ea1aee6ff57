import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Guest } from './guest.ts';

/** For tests: a /sys, /proc and /etc in real files, with as much of a kernel behind them as a write needs. */
export class FakeGuest extends Guest {
  /** CPUs and blocks that refuse to come online. */
  readonly stubborn = new Set<string>();

  static async make(): Promise<FakeGuest> {
    const guest = new FakeGuest({ root: await mkdtemp(join(tmpdir(), 'fake-guest-')), packageSerial: 'agent-package' });
    await guest.files({
      'proc/sys/kernel/random/boot_id': '11111111-2222-3333-4444-555555555555',
      'proc/uptime': '12.50 3.00',
      'proc/sys/kernel/osrelease': '6.1.0-56-cloud-amd64',
      'proc/cmdline': 'console=ttyS0 movable_node memhp_default_state=offline',
      'proc/self/mounts': 'proc /proc proc rw 0 0\n/dev/vda /data ext4 rw 0 0\n/dev/vdb /run/agent squashfs ro 0 0',
      'etc/os-release': 'ID=debian\nVERSION_ID="12"',
      'sys/devices/system/cpu/possible': '0-3',
      'sys/devices/system/cpu/present': '0-1',
      'sys/devices/system/cpu/online': '0',
      'sys/devices/system/cpu/cpu0/topology/core_id': '0',
      'sys/devices/system/cpu/cpu1/online': '0',
      'sys/devices/system/cpu/hotplug/states': '',
      'sys/devices/system/memory/block_size_bytes': '8000000',
      'sys/devices/system/memory/auto_online_blocks': 'offline',
      'sys/firmware/acpi/hotplug/memory/enabled': '1',
      'sys/block/vda/size': '524288',
      'sys/block/vda/serial': 'data',
      'sys/block/vdb/size': '120672',
      'sys/block/vdb/serial': 'agent-package',
      'sys/block/loop0/size': '0',
      'sys/bus/virtio/drivers/virtio_blk/uevent': '',
      'sys/bus/pci/slots/0/power': '1',
      'sys/module/acpiphp/uevent': '',
      'sys/class/net/lo/address': '00:00:00:00:00:00',
      'sys/class/net/eth0/address': '52:54:00:00:00:01',
      'sys/class/net/eth0/device/uevent': '',
      'bin/sh': '',
      'data/file': '',
    });
    for (let i = 0; i < 6; i++) await guest.files({ [`sys/devices/system/memory/memory${i}/state`]: i < 4 ? 'online' : 'offline' });
    return guest;
  }

  async files(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(this.path(path)), { recursive: true });
      await writeFile(this.path(path), `${text}\n`);
    }
  }
  async without(path: string): Promise<void> {
    await rm(this.path(path), { recursive: true, force: true });
  }

  override async write(path: string, text: string): Promise<string | undefined> {
    if ([...this.stubborn].some((s) => path.includes(s))) return 'EBUSY';
    const refused = await super.write(path, text);
    if (refused) return refused;
    if (path.endsWith('/state')) await writeFile(this.path(path), 'online\n');
    if (/cpu\d+\/online$/.test(path)) await this.listOnline();
    return undefined;
  }
  private async listOnline(): Promise<void> {
    const online = [0];
    for (let n = 1; n < 8; n++) {
      const state = await readFile(this.path(`sys/devices/system/cpu/cpu${n}/online`), 'utf8').catch(() => '0');
      if (state.startsWith('1')) online.push(n);
    }
    await writeFile(this.path('sys/devices/system/cpu/online'), `${online.join(',')}\n`);
  }
  async end(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}
