import type { VmTypeSpec } from '@chrysalis/contracts';

/** So many hosts, each with room for so many VMs: 12,800 in all. */
export const HOSTS = 100;
export const VMS_A_HOST = 128;
export const hostIds = Array.from({ length: HOSTS }, (_, i) => `host-${String(i).padStart(3, '0')}`);

export const MEMORY_MIB = 512;
export const DISK_MIB = 128;
export const TYPE = 'bench';
export const IMAGE = 'bench';
export const spec: VmTypeSpec = {
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: MEMORY_MIB, max: 2_048 },
  disks: [{ id: 'data', sizeMiB: DISK_MIB }],
  nics: [{ id: 'front', network: 'front' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
};

/** An event as it was committed, without what a copy of it must have for itself. */
export type Copied = { readonly type: string; readonly data: unknown; readonly meta: unknown };
/** What one commit of a context added for a VM. */
export type Commit = {
  readonly context: string;
  readonly appends: readonly { readonly stream: string; readonly events: readonly Copied[] }[];
};
/** The commits of each VM, in their order. */
export type Story = readonly Commit[];
