import type { Capability, GuestFacts } from '@chrysalis/contracts';
import { fileSystems, memoryBlocks, onlineCpus } from './facts.ts';
import { parseList, type Guest } from './guest.ts';

type Os = GuestFacts['os'];
type Name = Capability['name'];
type Finding = { readonly state: Capability['state']; readonly evidence: string; readonly addableBy?: string };
/** Looks; changes nothing. The first detector of a capability whose `for` takes the OS is asked. */
type Detector = { readonly name: Name; readonly for: (os: Os) => boolean; readonly detect: (guest: Guest) => Promise<Finding> };

/** `6.1.0-56-cloud-amd64` -> 6.001 as a pair; undefined when it is not a Linux release. */
const kernelOf = (os: Os): [number, number] | undefined => {
  const m = /^(\d+)\.(\d+)/.exec(os.kernel);
  return m ? [Number(m[1]), Number(m[2])] : undefined;
};
const since =
  (major: number, minor: number) =>
  (os: Os): boolean => {
    const k = kernelOf(os);
    return k !== undefined && (k[0] > major || (k[0] === major && k[1] >= minor));
  };

const present = (evidence: string): Finding => ({ state: 'present', evidence });
const absent = (evidence: string, addableBy?: string): Finding => ({ state: 'absent', evidence, ...(addableBy ? { addableBy } : {}) });
const unknown = (evidence: string): Finding => ({ state: 'unknown', evidence });

const cpus = 'sys/devices/system/cpu';
const cpuSets = async (guest: Guest): Promise<string> => {
  const [possible, here, online] = await Promise.all(['possible', 'present', 'online'].map((f) => guest.read(`${cpus}/${f}`)));
  return `possible ${possible ?? '?'}, present ${here ?? '?'}, online ${online ?? '?'}`;
};

const cpuHotplug = async (guest: Guest): Promise<Finding> => {
  const sets = await cpuSets(guest);
  if (!(await guest.exists(`${cpus}/hotplug/states`))) return absent(`no /${cpus}/hotplug/states: the kernel has no CPU hot-plug; ${sets}`);
  const possible = await guest.read(`${cpus}/possible`);
  if (possible === undefined) return unknown(`/${cpus}/possible cannot be read`);
  const free = parseList(possible).length - (await onlineCpus(guest)).length;
  return free > 0 ? present(`/${cpus}/hotplug/states; ${sets}`) : absent(`no CPU beyond those online is possible: ${sets}`);
};

const cpuHotunplug = async (guest: Guest): Promise<Finding> => {
  const sets = await cpuSets(guest);
  return (await guest.exists(`${cpus}/hotplug/states`))
    ? present(`/${cpus}/hotplug/states; ${sets}; cpu0 stays`)
    : absent(`no /${cpus}/hotplug/states; ${sets}`);
};

const acpiMemory = 'sys/firmware/acpi/hotplug/memory/enabled';
const memoryHotplug = async (guest: Guest): Promise<Finding> => {
  const { blockMiB, onlineMiB } = await memoryBlocks(guest);
  if (blockMiB === 0) return absent('no /sys/devices/system/memory/block_size_bytes: the kernel has no memory hot-plug');
  const auto = await guest.read('sys/devices/system/memory/auto_online_blocks');
  const acpi = await guest.read(acpiMemory);
  const evidence = `blocks of ${blockMiB} MiB, ${onlineMiB} MiB online, auto_online_blocks ${auto ?? '?'}, /${acpiMemory} ${acpi ?? 'missing'}`;
  if (auto === undefined) return unknown(evidence);
  return acpi === '1' ? present(evidence) : absent(evidence);
};

const memoryHotunplug = async (guest: Guest): Promise<Finding> => {
  const plug = await memoryHotplug(guest);
  if (plug.state !== 'present') return plug;
  const movable = /(^| )movable_node( |$)/.test((await guest.read('proc/cmdline')) ?? '');
  const auto = await guest.read('sys/devices/system/memory/auto_online_blocks');
  if (movable || auto === 'online_movable')
    return present(`${movable ? 'movable_node on the kernel line' : 'blocks come online movable'}; ${plug.evidence}`);
  return unknown(
    `no movable_node on the kernel line, auto_online_blocks ${auto}: what is brought online as movable can go, the rest may not`,
  );
};

const diskRescan = async (guest: Guest): Promise<Finding> => {
  const driver = 'sys/bus/virtio/drivers/virtio_blk';
  return (await guest.exists(driver)) ? present(`/${driver}: takes capacity changes by interrupt`) : absent(`no /${driver}`, 'virtio_blk');
};

const fileSystemGrow = async (guest: Guest): Promise<Finding> => {
  const found = await fileSystems(guest);
  const ext = found.filter((f) => /^ext[234]$/.test(f.type));
  const text = found.map((f) => `${f.type} on ${f.mount} from ${f.blockName} (${f.disk})`).join(', ');
  if (ext.length > 0) return present(`${text}; resize2fs is in the agent's package`);
  return found.length > 0 ? absent(`${text}: only ext file systems are grown`) : unknown('no file system of a disk is mounted');
};

const nicHotunplug = async (guest: Guest): Promise<Finding> => {
  const native = await guest.exists('sys/bus/pci_express/drivers/pciehp');
  const slots = await guest.list('sys/bus/pci/slots');
  const acpi = await guest.exists('sys/module/acpiphp');
  const evidence = `pciehp driver ${native ? 'present' : 'missing'}, acpiphp ${acpi ? 'present' : 'missing'}, ${slots.length} hot-plug slots`;
  if (slots.length > 0 && (native || acpi)) return present(evidence);
  return native || acpi ? unknown(evidence) : absent(evidence);
};

const runScript = async (guest: Guest): Promise<Finding> => {
  if (!(await guest.exists('bin/sh'))) return absent('no /bin/sh');
  const controllers = await guest.read('sys/fs/cgroup/cgroup.controllers');
  return present(`/bin/sh; limits by ${controllers === undefined ? 'ulimit and process groups' : `cgroup v2 (${controllers})`}`);
};

/** The kernel release decides: the interfaces below exist from these releases on, whatever the distribution. */
export const detectors: readonly Detector[] = [
  { name: 'cpu-hotplug', for: since(4, 8), detect: cpuHotplug },
  { name: 'cpu-hotunplug', for: since(4, 8), detect: cpuHotunplug },
  { name: 'memory-hotplug', for: since(4, 7), detect: memoryHotplug },
  { name: 'memory-hotunplug', for: since(4, 7), detect: memoryHotunplug },
  { name: 'disk-rescan', for: since(3, 10), detect: diskRescan },
  { name: 'filesystem-grow', for: since(3, 10), detect: fileSystemGrow },
  { name: 'nic-hotunplug', for: since(3, 10), detect: nicHotunplug },
  { name: 'run-script', for: since(3, 10), detect: runScript },
];

export const detect = (guest: Guest, os: Os, from: readonly Detector[] = detectors): Promise<Capability[]> =>
  Promise.all(
    [...new Set(from.map((d) => d.name))].map(async (name) => {
      const chosen = from.find((d) => d.name === name && d.for(os));
      const finding = chosen
        ? await chosen.detect(guest).catch((e: unknown) => unknown(`the detector failed: ${String(e)}`))
        : unknown(`no detector for ${os.id} ${os.version} with kernel ${os.kernel}`);
      return { name, ...finding, evidence: finding.evidence.slice(0, 512) };
    }),
  );
