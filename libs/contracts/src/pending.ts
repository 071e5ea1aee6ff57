import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { bootingFrom, bootOrderOf } from './boot-order.ts';
import type { Topology, VmTypeSpec } from './shapes.ts';
import { vcpusOf } from './topology.ts';

/** What a VM does not run on yet, and its next start has: a reboot from inside is none. */
export const Pending = z.object({ what: z.enum(['boot-order', 'vcpus']), why: z.string(), now: z.string(), next: z.string() });
export type Pending = z.infer<typeof Pending>;

type Of = {
  /** What is wanted, where anything was ever. */
  readonly bootOrder?: readonly string[] | undefined;
  readonly topology?: Topology | undefined;
  readonly spec: Pick<VmTypeSpec, 'vcpus'>;
};

/** How many CPUs the hardware has beyond the type: the guest has them offline, as they could not be unplugged. */
export const offlinedCpus = ({ topology, spec }: Of): number => (topology ? Math.max(0, vcpusOf(topology) - spec.vcpus.now) : 0);

/** Nothing is pending of one that is off: its next start is its next life. */
export const pendingOf = (vm: Of, off: boolean): Pending[] => (off || !vm.topology ? [] : [...orderOf(vm, vm.topology), ...cpusOf(vm)]);

const said = (order: readonly string[]): string => order.join(',') || 'none';
const orderOf = ({ bootOrder }: Of, topology: Topology): Pending[] => {
  if (bootOrder === undefined) return [];
  const [now, next] = [bootOrderOf(topology), bootOrderOf(bootingFrom(topology, bootOrder))];
  if (isDeepStrictEqual(now, next)) return [];
  const why = 'firmware is told at the start of its QEMU what to boot from; stop and start the VM';
  return [{ what: 'boot-order', why, now: said(now), next: said(next) }];
};

const cpusOf = (vm: Of): Pending[] => {
  const [offline, next] = [offlinedCpus(vm), vm.spec.vcpus.now];
  if (offline === 0) return [];
  const why = 'its host could not unplug CPUs that its type lacks, and the guest has them offline; stop and start the VM';
  return [{ what: 'vcpus', why, now: `${next + offline}, ${offline} of them offline`, next: String(next) }];
};
