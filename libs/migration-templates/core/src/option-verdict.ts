import {
  type Blocker,
  type Characterisation,
  type Code,
  type CopiedDisk,
  type MigrationOption,
  plugged,
  refText,
  type Topology,
} from '@chrysalis/contracts';
import { blocker } from './blockers.ts';
import { capabilityOf, failsafe, type CapabilityName } from './characterisation.ts';
import { difference, grows, MEMORY_STEP_MIB, removesDevices, shrinks, withoutRemoved, type Difference } from './difference.ts';
import { type Fit } from './fit.ts';
import { dimmsGoing, nicToCome } from './going.ts';
import type { KnownType, KnownVm } from './known.ts';
import { observedBlockers } from './observed.ts';
import { statePoolBlockers } from './save-and-restore.ts';

export type Verdict = Readonly<{ blockers: Blocker[]; needs: CapabilityName[] }>;
type Choice = Pick<MigrationOption, 'move' | 'method' | 'newResources'>;

/** One VM, one option: every reason against it, and what it needs of the guest. `fit` is what the engine says of the hosts. */
export const optionVerdict = (
  vm: KnownVm,
  target: KnownType,
  choice: Choice,
  fit: Fit,
  characterisation: Characterisation = failsafe(vm.vmId, ''),
): Verdict => {
  const d = difference(vm, target.spec);
  const needs = needsOf(d, choice);
  const blockers = [
    ...stateBlockers(vm),
    ...choiceBlockers(vm, target, choice, d),
    ...shapeBlockers(vm, d, choice),
    ...guestBlockers(vm.vmId, needs, characterisation),
    ...copyBlockers(vm.vmId, choice.method, fit.copied),
    ...fit.blockers,
  ];
  return { blockers, needs };
};

export const stateBlockers = (vm: KnownVm): Blocker[] => [
  ...runBlockers(vm),
  ...(vm.moveId === undefined
    ? []
    : [blocker('vm.in_move', vm.vmId, `${vm.vmId} is in ${vm.moveId}`, 'wait for that move to end, or cancel it')]),
  ...(vm.action === undefined ? [] : [blocker('vm.in_action', vm.vmId, `${vm.vmId} is in a ${vm.action}`, 'wait for the end of that')]),
  ...(halted(vm) ? [] : observedBlockers(vm)),
];

/** The handshake of disks and memory is the live one's: each other way sends the memory once, and would need the guest off its disks. */
export const copyBlockers = (vmId: string, method: Choice['method'], copied: readonly CopiedDisk[]): Blocker[] => {
  if (copied.length === 0 || method === 'pre-copy') return [];
  const text = `${copied.map((d) => d.disk).join(', ')} would have to be copied, which ${method} does not do`;
  return [blocker('option.copies_need_pre_copy', vmId, text, 'use pre-copy, or move the disks to a pool that hosts share')];
};

const halted = ({ state }: KnownVm): boolean => state === 'stopped' || state === 'paused';
const runBlockers = (vm: KnownVm): Blocker[] => {
  const { vmId, state, name } = vm;
  if (state === 'running') return [];
  return halted(vm)
    ? [blocker('vm.halted', vmId, `${vmId} is ${state}`, `chrysalis vm ${state === 'paused' ? 'resume' : 'start'} ${name ?? vmId}`)]
    : [blocker('vm.not_running', vmId, `${vmId} is ${state}`, 'wait until the VM runs')];
};

const choiceBlockers = (vm: KnownVm, target: KnownType, c: Choice, d: Difference): Blocker[] => {
  const out: Blocker[] = [];
  if (c.newResources === 'hide' && !grows(d))
    out.push(blocker('option.nothing_to_hide', vm.vmId, `${refText(target.ref)} has nothing that ${vm.vmId} lacks`, 'use expose'));
  if (!c.move && refText(vm.type) === refText(target.ref) && !grows(d) && !removesDevices(d) && !shrinks(d))
    out.push(blocker('option.no_change', vm.vmId, `${vm.vmId} is ${refText(target.ref)} already`, 'choose another type, or a move'));
  return out;
};

/** What the hardware itself rules out, whatever the guest can do. */
export const shapeBlockers = (vm: KnownVm, d: Difference, c: Choice): Blocker[] => {
  if (c.move && c.method === 'restart') return restartBlockers(vm, d, c);
  const { topology: t, vmId } = vm;
  const out: Blocker[] = c.move && c.method === 'save-and-restore' ? statePoolBlockers(vmId, t) : [];
  const add = (code: Code, message: string, remedy: string): void => void out.push(blocker(code, vmId, message, remedy));
  const restart = 'provision a VM of that type, or choose a type at least as large';
  if (d.memoryMiB.to < t.memory.bootMiB)
    add(
      'option.boot_memory_fixed',
      `${t.memory.bootMiB} MiB were there at boot and cannot be unplugged; the type has ${d.memoryMiB.to} MiB`,
      restart,
    );
  else if (!dimmsGoing(t, d.memoryMiB.to)) add('option.memory_shrink_uneven', unevenText(t, d), 'choose a type that the DIMMs make up');
  for (const id of d.disksAdded)
    add('option.disk_addition_unsupported', `the type has a disk ${id} that the VM lacks`, 'choose a type without it');
  for (const id of d.nicsRewired)
    add('option.nic_network_fixed', `NIC ${id} would change its network`, 'choose a type with the same network');
  return c.newResources === 'expose' ? [...out, ...headroomBlockers(vm, d)] : out;
};

/** Of what begins anew: disks are neither made nor moved, and each NIC has its root port. */
const restartBlockers = ({ topology: t, vmId }: KnownVm, d: Difference, c: Choice): Blocker[] => [
  ...d.disksAdded.map((id) =>
    blocker('option.disk_addition_unsupported', vmId, `the type has a disk ${id} that the VM lacks`, 'choose a type without it'),
  ),
  ...(c.newResources === 'expose' && d.nicsAdded.length > nicsThatFit(withoutRemoved(t, d, true), d)
    ? [blocker('option.nic_headroom', vmId, `no root port, or no NIC to take a MAC after, for ${d.nicsAdded.join(', ')}`, 'use hide')]
    : []),
];

const unevenText = (t: Topology, { memoryMiB: { from, to } }: Difference): string =>
  `from ${from} to ${to} MiB: memory was plugged as ${t.memory.dimms.map((x) => x.sizeMiB).join(' + ')} MiB, which go as they came`;

const headroomBlockers = ({ topology: t, vmId }: KnownVm, d: Difference): Blocker[] => {
  const out: Blocker[] = [];
  const add = (code: Code, message: string, remedy: string): void => void out.push(blocker(code, vmId, message, remedy));
  const later = 'use hide, or provision a VM of that type';
  const more = d.memoryMiB.to - d.memoryMiB.from;
  if (d.cpus.to > t.vcpus.max)
    add('option.cpu_headroom', `room for ${t.vcpus.max} vCPUs was made at boot, the type has ${d.cpus.to}`, later);
  if (more > 0 && d.memoryMiB.to > t.memory.maxMiB)
    add('option.memory_headroom', `room for ${t.memory.maxMiB} MiB was made at boot, the type has ${d.memoryMiB.to}`, later);
  if (more > 0 && t.memory.dimms.length >= t.memory.slots)
    add('option.memory_slots', `all ${t.memory.slots} memory slots are taken`, later);
  if (more > 0 && more % MEMORY_STEP_MIB !== 0)
    add('option.memory_step', `${more} MiB more is not a multiple of ${MEMORY_STEP_MIB} MiB`, 'choose a type that differs by whole blocks');
  if (d.nicsAdded.length > nicsThatFit(withoutRemoved(t, d, true), d))
    add('option.nic_headroom', `no root port, or no NIC to take a MAC after, for ${d.nicsAdded.join(', ')}`, later);
  if (d.cpuModel.from !== d.cpuModel.to)
    add('option.cpu_model_fixed', `a running VM keeps its CPU model ${d.cpuModel.from}; the type has ${d.cpuModel.to}`, later);
  return out;
};

const nicsThatFit = (moved: Topology, { nicsAdded }: Difference): number => {
  let [t, n] = [moved, 0];
  for (const id of nicsAdded) {
    const nic = nicToCome(t, { id, network: '' });
    if (nic) [t, n] = [plugged(t, nic), n + 1];
  }
  return n;
};

/** What must be done inside the guest. Empty: the option touches nothing there. */
export const needsOf = (d: Difference, c: Choice): CapabilityName[] => {
  if (c.move && c.method === 'restart') return [];
  const needs = new Set<CapabilityName>();
  if (removesDevices(d)) needs.add('nic-hotunplug'); // PCI hot-unplug: the same driver of the guest for NICs and disks
  if (d.cpus.to < d.cpus.from) needs.add('cpu-hotunplug');
  if (d.memoryMiB.to < d.memoryMiB.from) needs.add('memory-hotunplug');
  if (c.newResources === 'hide') return [...needs];
  if (d.cpus.to > d.cpus.from) needs.add('cpu-hotplug');
  if (d.memoryMiB.to > d.memoryMiB.from) needs.add('memory-hotplug');
  if (d.nicsAdded.length > 0) needs.add('nic-hotunplug'); // the same driver again, the other way
  if (d.disksGrown.length > 0) needs.add('disk-rescan').add('filesystem-grow');
  return [...needs];
};

export const guestBlockers = (vmId: string, needs: readonly CapabilityName[], characterisation: Characterisation): Blocker[] =>
  needs.flatMap((name) => {
    const c = capabilityOf(characterisation, name);
    switch (c.state) {
      case 'present':
        return [];
      case 'absent':
        return [
          blocker(
            'option.capability_absent',
            vmId,
            `the guest lacks ${name}: ${c.evidence}`,
            c.addableBy ? `deploy ${c.addableBy} under a grant` : `give the guest ${name}`,
          ),
        ];
      case 'unknown':
        return [
          blocker(
            'option.capability_unknown',
            vmId,
            `nobody knows whether the guest has ${name}: ${c.evidence}`,
            'ask again with a grant, so that an agent may look',
          ),
        ];
    }
  });
