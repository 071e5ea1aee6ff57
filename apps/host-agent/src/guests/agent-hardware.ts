import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AGENT_DISK, agentDiskOf, agentSerial, agentVolume, freePort, GUEST_PORT_NAME, type Topology } from '@chrysalis/contracts';
import type { AgentHardware, HypervisorDriver } from '@chrysalis/hypervisor';
import type { PoolPlaces } from '../config.ts';
import { TaskFailure } from '../execution/task-failure.ts';

export const AGENT_PORT = 'agent';
const MAX_PORT_NR = 7;
const MIB = 1_048_576;
type Pools = PoolPlaces;
type Package = { readonly digest: string; readonly file: string };

/** What the agent came with in this guest: its disk and its port, as devices like any other, which therefore move with the VM. */
export const agentHardware = (
  driver: HypervisorDriver,
  vmId: string,
  { pools, package: given, deadlineMs }: { pools: Pools; package?: Package; deadlineMs: number },
): AgentHardware => ({
  plugPackageDisk: async () => {
    if (!given) throw new TaskFailure('host.package_missing', 'no package was given');
    const { topology } = await driver.status(vmId);
    const disk = agentDiskOf(topology) ?? (await newDisk(topology, pools, given));
    await driver.plug(vmId, { kind: 'disk', ...disk });
    return { serial: disk.serial };
  },
  unplugPackageDisk: () => unplugPackage(driver, vmId, deadlineMs),
  plugAgentPort: async () => {
    const { topology } = await driver.status(vmId);
    if (topology.serialPorts.some((p) => p.id === AGENT_PORT)) return;
    const used = new Set(topology.serialPorts.map((p) => p.nr));
    const nr = Array.from({ length: MAX_PORT_NR }, (_, i) => i + 1).find((n) => !used.has(n));
    if (nr === undefined) throw new TaskFailure('hypervisor.no_free_serial', 'no free serial port for the agent');
    await driver.plugSerialPort(vmId, { id: AGENT_PORT, nr, name: GUEST_PORT_NAME });
  },
  unplugAgentPort: async () => void (await driver.unplugSerialPort(vmId, AGENT_PORT, deadlineMs)),
  openAgentPort: () => driver.openSerialPort(vmId, AGENT_PORT),
});

/** Whatever else the VM has, under whatever name, is not the agent's to take out. */
export const unplugPackage = async (driver: HypervisorDriver, vmId: string, deadlineMs: number): Promise<void> => {
  const disk = agentDiskOf((await driver.status(vmId)).topology);
  if (disk) await driver.unplug(vmId, { kind: 'disk', id: disk.id }, deadlineMs);
};

/** The disk that brings this package. */
export const packageDisk = (digest: string, at: { port: number; sizeMiB: number; pool: string }): Topology['disks'][number] => ({
  id: AGENT_DISK,
  serial: agentSerial(digest),
  volume: agentVolume(digest),
  format: 'raw',
  readOnly: true,
  ...at,
});

/** Package volumes are named by their content, so one file serves every VM of a pool, and it is there on a host that shares the pool. */
const newDisk = async (topology: Topology, pools: Pools, { digest, file }: Package): Promise<Topology['disks'][number]> => {
  const port = freePort(topology);
  if (port === undefined) throw new TaskFailure('hypervisor.no_free_port', 'no free root port for the agent’s disk');
  const pool = topology.disks.find((d) => !d.readOnly)?.pool ?? Object.keys(pools)[0];
  const directory = pool === undefined ? undefined : pools[pool]?.directory;
  if (pool === undefined || directory === undefined) throw new TaskFailure('hypervisor.pool_unknown', `no pool ${pool} on this host`);
  const bytes = await placeVolume({ digest, file }, join(directory, agentVolume(digest)));
  return packageDisk(digest, { port, pool, sizeMiB: Math.ceil(bytes / MIB) });
};

/** What is there under that name was put there whole, and with this content. */
const placeVolume = async ({ digest, file }: Package, path: string): Promise<number> => {
  const there = await stat(path).catch(() => undefined);
  if (there) return there.size;
  if ((await digestOf(file)) !== digest) throw new TaskFailure('host.package_invalid', `the package in this host's store is not ${digest}`);
  const temporary = `${path}.new-${process.pid}`;
  try {
    await copyFile(file, temporary);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return (await stat(path)).size;
};

/**
 * The agent's disk of a VM that comes here, in a pool that its source does not share: made of this host's own store, as what is in it is in its
 * name. It serves every VM of the pool, and stays.
 */
export const packageThere = async (topology: Topology, { pools, packageStore }: { pools: Pools; packageStore: string }): Promise<void> => {
  const disk = agentDiskOf(topology);
  const place = disk && pools[disk.pool];
  if (!place || place.shared) return;
  const path = join(place.directory, disk.volume);
  if (await stat(path).catch(() => undefined)) return;
  const names = await readdir(packageStore).catch((): string[] => []);
  const digests = names.flatMap((name) => /^sha256-([0-9a-f]{64})\.squashfs$/.exec(name)?.[1] ?? []).map((hex) => `sha256:${hex}`);
  const digest = digests.find((d) => agentVolume(d) === disk.volume);
  if (digest === undefined) throw new TaskFailure('host.package_missing', `the package of ${disk.volume} is not in this host’s store`);
  await placeVolume({ digest, file: join(packageStore, `${digest.replace(':', '-')}.squashfs`) }, path);
};

const digestOf = async (file: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new TaskFailure('host.package_missing', 'the package is not in this host’s store') : error;
  });
  return `sha256:${hash.digest('hex')}`;
};
