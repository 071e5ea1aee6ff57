import type { Capability, Characterisation, GuestFacts } from '@chrysalis/contracts';
import type { QgaClient } from './qga.ts';

export const bootIdOf = async (qga: QgaClient): Promise<string> => (await qga.readFile('/proc/sys/kernel/random/boot_id')).trim();

/** The facts as far as qemu-ga alone tells them. Throws a QgaError when it does not let files be read: without a boot id nothing can be compared. */
export const qgaFacts = async (qga: QgaClient): Promise<GuestFacts> => {
  const bootId = await bootIdOf(qga);
  const uptime = Number((await qga.readFile('/proc/uptime')).split(' ')[0]);
  const os = await qga.osInfo();
  const vcpus = (await qga.vcpus()).filter((c) => c.online).length;
  const memoryMiB = await onlineMiB(qga);
  const disks = await wholeDisks(qga);
  return {
    bootId,
    uptimeSeconds: uptime,
    os: { id: os.id ?? 'unknown', version: os['version-id'] ?? '', kernel: os['kernel-release'] ?? '' },
    vcpus,
    memoryMiB,
    disks: disks.slice(0, 64),
    fileSystems: (await dataFileSystems(qga, disks)).slice(0, 64),
    nics: (await qgaMacs(qga)).slice(0, 64),
  };
};

/** Of its NICs, and of whatever else has an address like theirs. */
export const qgaMacs = async (qga: QgaClient): Promise<string[]> =>
  (await qga.network())
    .map((n) => n['hardware-address'] ?? '')
    .filter((m) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(m) && m !== '00:00:00:00:00:00');

const onlineMiB = async (qga: QgaClient): Promise<number> => {
  const bytes = await qga.memoryBlockBytes();
  return ((await qga.memoryBlocks()).filter((b) => b.online).length * bytes) / 1_048_576;
};

/** qemu-ga names disks and, without udev in the guest, not their serial numbers: those come from sysfs, as do the sizes. */
export const wholeDisks = async (qga: QgaClient): Promise<GuestFacts['disks']> => {
  const names = (await qga.disks())
    .filter((d) => !d.partition && /^\/dev\/(vd|sd|xvd|nvme)[a-z0-9]+$/.test(d.name))
    .map((d) => d.name.slice('/dev/'.length));
  const found: GuestFacts['disks'] = [];
  for (const name of names) {
    const serial = await qga.readFile(`/sys/block/${name}/serial`).catch(() => '');
    const sectors = Number(await qga.readFile(`/sys/block/${name}/size`).catch(() => '0'));
    found.push({ name: name.slice(0, 64), serial: serial.trim().slice(0, 64), bytes: sectors * 512 });
  }
  return found;
};

const dataFileSystems = async (qga: QgaClient, disks: GuestFacts['disks']): Promise<GuestFacts['fileSystems']> =>
  (await qga.fileSystems())
    .filter((f) => f.disk.length > 0)
    .map((f) => {
      const device = (f.disk[0]?.dev ?? '').slice('/dev/'.length);
      const disk = disks.find((d) => device.startsWith(d.name));
      return {
        mount: f.mountpoint.slice(0, 255),
        disk: disk?.serial || disk?.name || f.name.slice(0, 64),
        type: f.type.slice(0, 32),
        bytes: f['total-bytes'] ?? 0,
      };
    });

/** A characterisation without our agent: fewer capabilities are known, and each says by which command of qemu-ga. */
export const qgaCharacterise = async (qga: QgaClient, vmId: string, at: Date): Promise<Characterisation> => {
  const facts = await qgaFacts(qga);
  const byCommand = async (name: Capability['name'], command: string, also = ''): Promise<Capability> => {
    const offered = await qga.offers(command);
    return offered
      ? { name, state: 'present', evidence: `qemu-ga offers ${command}${also}` }
      : { name, state: 'absent', evidence: `qemu-ga does not offer ${command}`, addableBy: 'migration-agent' };
  };
  const notSeen = (name: Capability['name'], why: string): Capability => ({
    name,
    state: 'unknown',
    evidence: why,
    addableBy: 'migration-agent',
  });
  const cpus = await qga.vcpus();
  const blocks = await qga.memoryBlocks();
  const capabilities: Capability[] = [
    await byCommand('cpu-hotplug', 'guest-set-vcpus', `; ${cpus.length} CPUs seen`),
    await byCommand('cpu-hotunplug', 'guest-set-vcpus', `; ${cpus.filter((c) => c['can-offline']).length} can go offline`),
    await byCommand('memory-hotplug', 'guest-set-memory-blocks', `; ${blocks.length} blocks seen`),
    notSeen(
      'memory-hotunplug',
      `${blocks.filter((b) => b['can-offline']).length} blocks say they can go; qemu-ga does not tell how they were brought online`,
    ),
    notSeen('disk-rescan', 'qemu-ga does not tell which drivers there are'),
    { name: 'filesystem-grow', state: 'absent', evidence: 'qemu-ga has no command for it', addableBy: 'migration-agent' },
    notSeen('nic-hotunplug', 'qemu-ga does not tell which drivers there are'),
    {
      name: 'run-script',
      state: 'absent',
      evidence: 'guest-exec has no limits of time, output or privilege',
      addableBy: 'migration-agent',
    },
  ];
  return { vmId, source: 'qemu-ga', at: at.toISOString(), facts, capabilities };
};
