import { expect } from '@jest/globals';
import { diskSerial, type Device, type HypervisorCode } from '@chrysalis/contracts';
import type { BootSpec, HypervisorDriver } from '../../driver.ts';

/** Two hosts of one kind of driver. `a` and `b` give the driver of the moment; `lose` drops one as a killed host agent would. */
export type Rig = {
  a(): HypervisorDriver;
  b(): HypervisorDriver;
  lose(host: 'a' | 'b'): Promise<void>;
  guestUp(driver: HypervisorDriver, vmId: string): Promise<void>;
  /** The boot id, as the guest says it. */
  bootId(driver: HypervisorDriver, vmId: string): Promise<string>;
  /** Ends a VM's process behind the driver's back. */
  crash(host: 'a' | 'b', vmId: string): Promise<void>;
  /** Something on the guest's data disk, written by it and read again. */
  leaveMark(driver: HypervisorDriver, vmId: string, text: string): Promise<void>;
  /** So many MiB of the data disk are written, and no two alike. */
  fill(driver: HypervisorDriver, vmId: string, sizeMiB: number): Promise<void>;
  mark(driver: HypervisorDriver, vmId: string): Promise<string>;
  /** The guest writes its memory over and over, faster than this. */
  readonly slowMiBps: number;
  writes(driver: HypervisorDriver, vmId: string): Promise<void>;
  /** The way that the rest of a memory goes, from `a`, is lost. */
  cut(vmId: string): Promise<void>;
  /** What a guest does to its own machine, also while no driver holds it. */
  powerOff(host: 'a' | 'b', vmId: string): Promise<void>;
  reset(host: 'a' | 'b', vmId: string): Promise<void>;
  /** Its guest comes to an end, and its process stands. */
  endsInside(host: 'a' | 'b', vmId: string): Promise<void>;
  /** The guest writes where there is no room left. */
  ioError(host: 'a' | 'b', vmId: string): Promise<void>;
  /** Someone on the host, past the driver. */
  stop(host: 'a' | 'b', vmId: string): Promise<void>;
  continue(host: 'a' | 'b', vmId: string): Promise<void>;
  /** Loses the driver of `a`, and leaves the VM as one that is killed between the end of a save and the guest's continuation does. */
  strandInSave(vmId: string): Promise<void>;
  /** Waits until a VM of `bootImage` has been booted so often, as its root disk remembers. A simulated disk remembers nothing. */
  boots(driver: HypervisorDriver, vmId: string, times: number): Promise<void>;
  /** How the disk begins that the guest has as its seed; empty where it has none. */
  seed(driver: HypervisorDriver, vmId: string): Promise<string>;
  /** Names of what is in the pool. */
  volumes(): string[];
  /** Of the pool `local`, which the other host does not see. */
  localVolumes(host: 'a' | 'b'): string[];
  /** An address where nobody listens. */
  readonly nowhere: string;
  close(): Promise<void>;
};

export const MOVED = 'vm-0192f7a0-0000-7000-8000-00000000c0de';
export const bootSpec = (vmId: string, over: Partial<BootSpec> = {}): BootSpec => ({
  vmId,
  uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a01',
  pool: 'shared',
  nics: [{ id: 'front', mac: '52:54:00:00:07:09', network: 'lan' }],
  image: { name: 'linux', version: 1, digest: `sha256:${'0'.repeat(64)}`, cmdline: 'console=ttyS0' },
  spec: {
    vcpus: { now: 1, max: 4 },
    memoryMiB: { now: 256, max: 1024 },
    disks: [{ id: 'data', sizeMiB: 64 }],
    nics: [{ id: 'front', network: 'lan' }],
    cpuModel: 'Westmere',
    requiredTraits: [],
  },
  ...over,
});
/** How every seed of these tests begins. */
export const SEED = 'a seed';
/** Of kind `disk`, and 1 MiB; see `rig.boots`. */
export const bootImage: BootSpec['image'] = {
  name: 'counts',
  version: 1,
  digest: `sha256:${'1'.repeat(64)}`,
  cmdline: '',
  disk: { format: 'raw', sizeMiB: 1 },
};
/** The same, by UEFI: its boots are counted in the variables of the firmware, and not on its disk. */
export const uefiImage: BootSpec['image'] = {
  ...bootImage,
  name: 'counts-uefi',
  digest: `sha256:${'2'.repeat(64)}`,
  disk: { format: 'raw', sizeMiB: 1, firmware: 'uefi' },
};
export const disk = (id: string, port: number): Device => ({
  kind: 'disk',
  id,
  port,
  serial: diskSerial(id),
  sizeMiB: 32,
  format: 'raw',
  pool: 'shared',
  volume: `contract.${id}.raw`,
  readOnly: false,
});
/** The longest names that there can be, and alike up to their last letter. */
export const LONG = ['x', 'y'].map((last) => `${'a-long-name-'.repeat(5)}of${last}`);
export const nic = (id: string, port: number): Device => ({ kind: 'nic', id, port, mac: '52:54:00:00:07:0a', network: 'lan' });
export const agentPort = { id: 'agent', nr: 2, name: 'org.chrysalis.agent.0' };
export const limits = { downtimeLimitMs: 300, maxBandwidthMiBps: 1024 };

export const refused = async (work: Promise<unknown>, code: HypervisorCode): Promise<void> => {
  await expect(work).rejects.toMatchObject({ name: 'HypervisorError', code });
};
