import { MOST_LABELS, type VmLabelChanges, type VmLabels } from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import { notReady, type VmDecision } from './rejections.ts';
import type { KnownVm, Vm } from './vm.ts';

/** What of a VM is ours alone: neither its guest nor its host is told, so it changes at any time, also while it moves. */
export type Reconfigure = Readonly<{ type: 'reconfigure'; vmId: string; name?: string; labels?: VmLabelChanges }>;

export const reconfigure = ({ vmId, name, labels: changes }: Reconfigure, vm: Vm): VmDecision => {
  if (vm.status === 'unknown' || vm.status === 'deleted') return notReady(vm, vmId);
  const labels = changed(vm.labels, changes ?? {});
  const count = Object.keys(labels).length;
  if (count > MOST_LABELS) return reject({ code: 'vm.labels_full', vmId, count, most: MOST_LABELS });
  const news = {
    ...(name !== undefined && name !== vm.name ? { name } : {}),
    ...(canonicalJson(labels) === canonicalJson(vm.labels) ? {} : { labels }),
  };
  return Object.keys(news).length === 0 ? accept() : accept({ type: 'chrysalis.provisioning.vm.reconfigured.v1', data: { vmId, ...news } });
};

const changed = (labels: VmLabels, changes: VmLabelChanges): VmLabels =>
  Object.fromEntries(Object.entries({ ...labels, ...changes }).filter((entry): entry is [string, string] => entry[1] !== null));

export const reconfigured = (
  vm: KnownVm,
  { name = vm.name, labels = vm.labels }: { name?: string | undefined; labels?: VmLabels | undefined },
): KnownVm => ({
  ...vm,
  name,
  labels,
});
