import { MOST_LABELS, namedDisksOf, type VmLabelChanges, type VmLabels } from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import { notReady, type VmDecision } from './rejections.ts';
import type { KnownVm, Vm } from './vm.ts';

/**
 * What of a VM is ours alone: neither its guest nor its host is told, so it changes at any time, also while it moves. What it boots from its host
 * is told at its next start.
 */
export type Reconfigure = Readonly<{
  type: 'reconfigure';
  vmId: string;
  name?: string;
  labels?: VmLabelChanges;
  bootOrder?: string[];
}>;

export const reconfigure = ({ vmId, name, labels: changes, bootOrder }: Reconfigure, vm: Vm): VmDecision => {
  if (vm.status === 'unknown' || vm.status === 'deleted') return notReady(vm, vmId);
  const labels = changed(vm.labels, changes ?? {});
  const count = Object.keys(labels).length;
  if (count > MOST_LABELS) return reject({ code: 'vm.labels_full', vmId, count, most: MOST_LABELS });
  const unfit = bootOrder && unbootable(bootOrder, vm);
  if (unfit) return unfit;
  const news = {
    ...other('name', name, vm.name),
    ...other('labels', labels, vm.labels),
    ...other('bootOrder', bootOrder, vm.bootOrder ?? []),
  };
  return Object.keys(news).length === 0 ? accept() : accept({ type: 'chrysalis.provisioning.vm.reconfigured.v1', data: { vmId, ...news } });
};

const other = <K extends string, V>(member: K, asked: V | undefined, is: V): { [k in K]?: V } =>
  asked === undefined || canonicalJson(asked) === canonicalJson(is) ? {} : ({ [member]: asked } as { [k in K]?: V });

/** What it has, and firmware can boot from: SeaBIOS would need a ROM of the NIC, which UEFI does without. */
const unbootable = (order: readonly string[], vm: KnownVm): VmDecision | undefined => {
  const { vmId, image, topology } = vm;
  if (order.length === 0) return undefined;
  if (!image.disk) return reject({ code: 'vm.boots_kernel', vmId });
  if (!topology) return notReady(vm, vmId);
  const disks = namedDisksOf(topology).map((d) => d.id);
  const known = [...disks, ...topology.nics.map((n) => n.id)];
  for (const device of order.filter((id) => !disks.includes(id))) {
    const message = `${vmId} has no disk and no NIC ${device}; it has ${known.join(', ')}`;
    if (!known.includes(device)) return reject({ code: 'vm.boot_device_unknown', message, vmId, device, known });
    if (!topology.uefi) return reject({ code: 'vm.boot_device_unfit', vmId, device });
  }
  return undefined;
};
const changed = (labels: VmLabels, changes: VmLabelChanges): VmLabels =>
  Object.fromEntries(Object.entries({ ...labels, ...changes }).filter((entry): entry is [string, string] => entry[1] !== null));

type Reconfigured = { name?: string | undefined; labels?: VmLabels | undefined; bootOrder?: string[] | undefined };
export const reconfigured = (vm: KnownVm, { name = vm.name, labels = vm.labels, bootOrder = vm.bootOrder }: Reconfigured): KnownVm => ({
  ...vm,
  name,
  labels,
  ...(bootOrder === undefined ? {} : { bootOrder }),
});
