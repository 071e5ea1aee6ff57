import { createHash } from 'node:crypto';

/**
 * A VM's devices have the names that their type gives them (`Name`). Guests and hypervisors have limits of their own, so that what they see
 * is made here, from the name alone: the same through every move, morph, plug and unplug. A name that fits is seen as it is; a longer one
 * as its beginning, a dot and a part of its digest. No name has a dot, so nothing made here is another device's name.
 *
 * With a dot as well, and in a shape that nothing above can have: what Chrysalis itself plugs.
 */
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
const seenAs = (name: string, max: number, digits: number): string =>
  name.length <= max ? name : `${name.slice(0, max - digits - 1)}.${digest(name).slice(0, digits)}`;

/** virtio-blk keeps 20 bytes of a serial number and says nothing of the rest. */
export const MAX_SERIAL = 20;
/** What the guest knows a disk by (`/dev/disk/by-id/virtio-<serial>`). */
export const diskSerial = (name: string): string => seenAs(name, MAX_SERIAL, 10);

/** QEMU's limit for a block node is 31 characters. Names of up to 25 have always been in it as they are: those QEMUs run on. */
export const MAX_NODE_NAME = 31;
export const blockNode = (name: string): string => `block-${seenAs(name, 25, 14)}`;
export const fileNode = (name: string): string => `file-${seenAs(name, 25, 14)}`;

/** What a VM had in memory and devices, on its way to another host: in a pool that both see, named by the VM and its move. */
export const stateFile = (vmId: string, moveId: string): string => `${vmId}.${moveId}.save`;
export const isStateFile = (file: string): boolean => file.endsWith('.save');

/** The disk that brings the migration agent: its id in a topology. */
export const AGENT_DISK = 'chrysalis.agent';
/** By the package, so that a guest's start script finds this package and no other. */
export const agentSerial = (packageDigest: string): string => `agent.${packageDigest.slice('sha256:'.length).slice(0, 12)}`;
/** One file serves every VM of a pool. */
export const agentVolume = (packageDigest: string): string => `agent-${packageDigest.slice('sha256:'.length).slice(0, 32)}.squashfs`;
const AGENT_VOLUME = /^agent-[0-9a-f]{32}\.squashfs$/;
/** By its name; its content is to have the digest that the name is made of. */
export const isAgentVolume = (file: string): boolean => AGENT_VOLUME.test(file);

/**
 * The disk that tells a guest at its first boot who it is: its id in a topology, and its serial number. It is there until the VM is started
 * again after a stop.
 */
export const SEED_DISK = 'chrysalis.seed';
const OURS = /^chrysalis\./;

type Known = { readonly id: string; readonly readOnly: boolean; readonly volume: string };
/** VMs of before have it as `agent`, which is a name that users may give: but theirs are never read-only, nor of such a volume. */
const isAgentDisk = (d: Known): boolean => d.id === AGENT_DISK || (d.id === 'agent' && d.readOnly && AGENT_VOLUME.test(d.volume));
export const agentDiskOf = <D extends Known>(t: { readonly disks: readonly D[] }): D | undefined => t.disks.find(isAgentDisk);
/** Those that a type, a template or a user can mean. */
export const namedDisksOf = <D extends Known>(t: { readonly disks: readonly D[] }): D[] =>
  t.disks.filter((d) => !isAgentDisk(d) && !OURS.test(d.id));
