import { speaksOf } from '@chrysalis/contracts';
import type { Document, Found, ReadModels } from './read-models.ts';

type Row = { id: string; version: number; data: Document & { hostId: string; epoch: number } };

/**
 * What is wanted of a VM comes from its own stream; what it was seen to do, from the gateway's. `seen` is the version of the
 * observation's stream, 0 where none is of this VM as it is.
 */
export const withObserved = async (reads: ReadModels, vms: readonly Found[]): Promise<readonly (Found & { readonly seen: number })[]> => {
  if (vms.length === 0) return [];
  const { rows } = await reads.query<Row>('select id, version, data from read.vm_observations where id = any($1::text[])', [
    vms.map((vm) => vm['vmId']),
  ]);
  const byVm = new Map(rows.map((r) => [r.id, r]));
  return vms.map((vm) => {
    const row = byVm.get(String(vm['vmId']));
    const place = { hostId: vm['hostId'] as string | undefined, epoch: Number(vm['epoch']) };
    return row && speaksOf(row.data, place) ? { ...vm, observed: row.data, seen: row.version } : { ...vm, seen: 0 };
  });
};
