import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { bootingFrom, bootOrderOf } from './boot-order.ts';
import { Positive, type Topology, type VmTypeSpec } from './shapes.ts';
import { vcpusOf } from './topology.ts';

/** What a VM does not run on yet, and its next start has: a reboot from inside is none. */
export const Pending = z.object({ what: z.enum(['boot-order', 'vcpus']), why: z.string(), now: z.string(), next: z.string() });
export type Pending = z.infer<typeof Pending>;

/** What a guest is shown, where that is less than its type and its hardware both have: something is hidden from it until its next start. */
export const Shows = z.object({ vcpus: Positive });
export type Shows = z.infer<typeof Shows>;

type Of = {
  /** What is wanted, where anything was ever. */
  readonly bootOrder?: readonly string[] | undefined;
  readonly topology?: Topology | undefined;
  readonly spec: Pick<VmTypeSpec, 'vcpus'>;
  readonly shows?: Shows | undefined;
};

/** How many CPUs the hardware has beyond the type: the guest has them offline, as they could not be unplugged. */
export const offlinedCpus = ({ topology, spec }: Pick<Of, 'topology' | 'spec'>): number =>
  topology ? Math.max(0, vcpusOf(topology) - spec.vcpus.now) : 0;

/** How many CPUs the guest is to have online: those beyond its type are offlined, those that the type has and the hardware lacks are hidden. */
export const shownCpus = (topology: Topology, { spec, shows }: Pick<Of, 'spec' | 'shows'>): number =>
  Math.min(vcpusOf(topology), spec.vcpus.now, shows?.vcpus ?? Infinity);

/** Nothing is pending of one that is off: its next start is its next life. */
export const pendingOf = (vm: Of, off: boolean): Pending[] =>
  off || !vm.topology ? [] : [...orderOf(vm, vm.topology), ...cpusOf({ ...vm, topology: vm.topology })];

const said = (order: readonly string[]): string => order.join(',') || 'none';
const orderOf = ({ bootOrder }: Of, topology: Topology): Pending[] => {
  if (bootOrder === undefined) return [];
  const [now, next] = [bootOrderOf(topology), bootOrderOf(bootingFrom(topology, bootOrder))];
  if (isDeepStrictEqual(now, next)) return [];
  const why = 'firmware is told at the start of its QEMU what to boot from; stop and start the VM';
  return [{ what: 'boot-order', why, now: said(now), next: said(next) }];
};

const cpusOf = (vm: Of & { topology: Topology }): Pending[] => {
  const [has, next] = [vcpusOf(vm.topology), Math.min(vcpusOf(vm.topology), vm.spec.vcpus.now)];
  const offline = has - shownCpus(vm.topology, vm);
  if (offline === 0) return [];
  const beyond = 'its host could not unplug CPUs that its type lacks, and the guest has them offline; stop and start the VM';
  const hidden = 'its guest is not shown all that its type has; stop and start the VM, or expose it by a morph to its own type';
  const now = `${has}, ${offline} of them offline`;
  return [{ what: 'vcpus', why: next < has ? beyond : hidden, now, next: String(next) }];
};
