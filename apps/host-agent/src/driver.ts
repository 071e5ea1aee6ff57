import { join } from 'node:path';
import { QemuDriver, SimulatedDriver, SimulatedStore, SimulatedWorld, TcpLink, type HypervisorDriver } from '@chrysalis/hypervisor';
import { diskImagesOf, type HostAgentConfig } from './config.ts';
import { openGuestDoor } from './guests/guest-door.ts';
import type { Guests } from './guests/guests.ts';
import { plainFiles, qemuImg, type ImageMaker } from './images/make.ts';
import { imageStore } from './images/image-store.ts';
import { copyRootDisk } from './images/root-disk.ts';
import { QemuGuests } from './guests/qemu-guests.ts';
import { SimulatedGuests } from './guests/simulated-guests.ts';

export type Hypervisor = { readonly driver: HypervisorDriver; readonly guests: Guests; readonly makeImage: ImageMaker };

/** The hypervisor that the configuration names, and the way to its guests. */
export const createDriver = async (config: HostAgentConfig): Promise<Hypervisor> => {
  const made = config.driver === 'qemu' ? qemu(config) : simulated(config);
  const { address: host, guestDoorPort: port } = config;
  if (port !== undefined) await openGuestDoor(made.guests, { host, port });
  return made;
};

const qemu = (config: HostAgentConfig): Hypervisor => {
  const networks = Object.entries(config.networks).map(([name, bridge]) => [
    name,
    bridge === 'isolated' ? { kind: 'isolated' as const } : { kind: 'bridge' as const, bridge },
  ]);
  const driver = new QemuDriver({
    stateDir: join(config.stateDir, 'qemu'),
    address: config.address,
    pools: config.pools,
    networks: Object.fromEntries(networks),
    resolveImage: imageStore(config.imageStore),
    copyDisk: copyRootDisk(diskImagesOf(config)),
    ...(config.accelerator === 'auto' ? {} : { accelerator: config.accelerator }),
    ...(config.qemu === undefined ? {} : { qemu: config.qemu }),
  });
  return { driver, guests: new QemuGuests(driver, config.pools), makeImage: qemuImg };
};

/** Its VMs are files in the state directory; streams between hosts go over TCP, so that processes and namespaces are real. */
const simulated = (config: HostAgentConfig): Hypervisor => {
  const driver = new SimulatedDriver({
    host: config.hostId,
    address: config.address,
    world: new SimulatedWorld({ link: new TcpLink() }),
    store: new SimulatedStore(join(config.stateDir, 'simulated')),
    pools: [...Object.keys(config.pools), 'packages'],
    poolDirectories: Object.fromEntries(Object.entries(config.pools).map(([name, { directory }]) => [name, directory])),
    localPools: Object.entries(config.pools).flatMap(([name, { shared }]) => (shared ? [] : [name])),
    networks: Object.keys(config.networks),
    ...(config.cpuModels ? { cpuModels: config.cpuModels } : {}),
  });
  return { driver, guests: new SimulatedGuests(driver), makeImage: plainFiles };
};
