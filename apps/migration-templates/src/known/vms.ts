import {
  desiredBy,
  provisioningEvents as events,
  speaksOf,
  type DataOf,
  type ProvisioningEvent,
  type Ref,
  type VmLabels,
} from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { KnownVm } from '@chrysalis/migration-templates-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { observedOf } from './observed.ts';

/** A VM before it has booted has no topology yet: kept all the same, as its version counts from there. */
export type VmDoc = Omit<KnownVm, 'topology' | 'topologyHash' | 'hostId' | 'version' | 'tenant' | 'observed'> &
  Partial<Pick<KnownVm, 'topology' | 'topologyHash' | 'hostId'>> & { readonly stateBefore?: KnownVm['state'] };
type VmEvent = Extract<ProvisioningEvent, { type: `chrysalis.provisioning.vm.${string}` }>;

/** The next state of what is known; `undefined` when the VM is no more. Pure. */
const foldVm = (vm: VmDoc | undefined, e: VmEvent): VmDoc | undefined => {
  if (e.type === events.vmRequested.type)
    return {
      ...{ vmId: e.data.vmId, name: e.data.name, labels: e.data.labels ?? {} },
      ...{ type: e.data.type, spec: e.data.spec, epoch: 1, state: 'requested' },
    };
  if (!vm) return undefined;
  switch (e.type) {
    case events.vmPlaced.type:
      return { ...vm, hostId: e.data.hostId, epoch: e.data.epoch };
    case events.vmBooted.type:
      return {
        ...vm,
        hostId: e.data.hostId,
        epoch: e.data.epoch,
        topology: e.data.topology,
        topologyHash: e.data.topologyHash,
        state: 'running',
      };
    case events.vmTopologyChanged.type:
      return { ...vm, topology: e.data.topology, topologyHash: e.data.topologyHash };
    case events.vmMoveBegun.type:
      return { ...vm, moveId: e.data.moveId };
    case events.vmSwitchedOver.type:
      return { ...vm, hostId: e.data.toHost, epoch: e.data.epoch, topology: e.data.topology, topologyHash: e.data.topologyHash };
    case events.vmTypeChanged.type:
      return { ...unhidden(vm), type: e.data.to, spec: e.data.spec, ...(e.data.shows ? { shows: e.data.shows } : {}) };
    case events.vmMoveEnded.type: {
      const { moveId: _, ...rest } = vm;
      return rest;
    }
    case events.vmReconfigured.type: {
      const { name, labels } = e.data;
      return { ...vm, ...(name === undefined ? {} : { name }), ...(labels ? { labels } : {}) };
    }
    case events.vmDeletionRequested.type:
      return { ...vm, state: 'deleting', stateBefore: vm.state };
    case events.vmDeletionFailed.type: {
      const { stateBefore, ...rest } = vm;
      return { ...rest, state: stateBefore ?? (vm.topology ? 'running' : 'requested') };
    }
    case events.vmActionRequested.type:
      return { ...vm, action: e.data.action };
    case events.vmActionEnded.type:
      return acted(vm, e.data);
    case events.vmChangeBegun.type:
      return { ...vm, action: e.data.change };
    case events.vmChangeEnded.type: {
      const { action: _, ...rest } = vm;
      const { topology, topologyHash } = e.data;
      return { ...rest, ...(topology && topologyHash ? { topology, topologyHash } : {}) };
    }
    case events.vmDeleted.type:
    case events.vmProvisioningFailed.type:
      return undefined;
    default:
      return vm; // an event that changes nothing we look at; the version rises all the same
  }
};

const acted = (vm: VmDoc, { action, outcome, topology, topologyHash }: DataOf<typeof events.vmActionEnded>): VmDoc => {
  const { action: _, ...rest } = vm;
  if (outcome === 'failed') return rest;
  const of = action === 'start' ? unhidden(rest) : rest;
  return { ...of, state: desiredBy[action], ...(topology && topologyHash ? { topology, topologyHash } : {}) };
};

/** A guest that starts has all that its hardware has. */
const unhidden = ({ shows: _, ...vm }: VmDoc): VmDoc => vm;

const apply = async (told: VmEvent, { event, tx, store }: EventContext): Promise<void> => {
  const version = Number(event.streamversion);
  const { rows } = await tx.query<{ vm: VmDoc; version: number }>(
    `select vm, version from ${store.schema}.known_vms where vm_id = $1 for update`,
    [event.subject],
  );
  if (rows[0] && rows[0].version >= version) return; // told before
  const next = foldVm(rows[0]?.vm, told);
  if (next)
    await tx.query(
      `insert into ${store.schema}.known_vms (vm_id, tenant, version, vm) values ($1, $2, $3, $4)
       on conflict (vm_id) do update set version = excluded.version, vm = excluded.vm`,
      [event.subject, event.tenant, version, JSON.stringify(next)],
    );
  else {
    await tx.query(`delete from ${store.schema}.known_vms where vm_id = $1`, [event.subject]);
    for (const table of ['characterisations', 'known_observed'])
      await tx.query(`delete from ${store.schema}.${table} where vm_id = $1`, [event.subject]);
  }
};

type VmContract = Extract<(typeof events)[keyof typeof events], { type: VmEvent['type'] }>;
const ofVms = Object.values(events).filter((c): c is VmContract => c.type.startsWith('chrysalis.provisioning.vm.'));

@Consumer('known-vms', { view: true })
export class KnownVms {
  @OnEvent(...ofVms)
  async changed(data: VmEvent['data'], ctx: EventContext): Promise<void> {
    await apply({ type: ctx.event.type, data } as VmEvent, ctx);
  }

  @OnEvent(events.vmTypePublished)
  async typePublished({ name, version, spec }: DataOf<typeof events.vmTypePublished>, { tx, store }: EventContext): Promise<void> {
    await tx.query(`insert into ${store.schema}.known_types (ref, name, version, spec) values ($1, $2, $3, $4) on conflict do nothing`, [
      `${name}@${version}`,
      name,
      version,
      JSON.stringify(spec),
    ]);
  }
}

export type HeardOf = VmDoc & { readonly tenant: string };
const heard = (rows: readonly { vm: VmDoc; tenant: string }[]): HeardOf[] => rows.map(({ vm, tenant }) => ({ ...vm, tenant }));

/** Those that are on the host, or are among these: booted or not, of every tenant. As many as there are. */
export const vmsOnHost = async (q: pg.PoolClient, schema: string, hostId: string, vmIds: readonly string[]): Promise<HeardOf[]> => {
  const sql = `select vm, tenant from ${schema}.known_vms where vm ->> 'hostId' = $1 or vm_id = any($2) order by vm_id`;
  return heard((await q.query<{ vm: VmDoc; tenant: string }>(sql, [hostId, vmIds])).rows);
};
export const vmsNamed = async (q: pg.PoolClient, schema: string, vmIds: readonly string[]): Promise<HeardOf[]> =>
  heard((await q.query<{ vm: VmDoc; tenant: string }>(`select vm, tenant from ${schema}.known_vms where vm_id = any($1)`, [vmIds])).rows);
export const vmsOfType = async (q: pg.PoolClient, schema: string, type: Ref): Promise<HeardOf[]> =>
  heard(
    (
      await q.query<{ vm: VmDoc; tenant: string }>(
        `select vm, tenant from ${schema}.known_vms where vm #>> '{type,name}' = $1 and (vm #>> '{type,version}')::int = $2 order by vm_id`,
        [type.name, type.version],
      )
    ).rows,
  );

/** Of this tenant, with these labels, so many at most: those that have booted and are not on their way out. */
export const vmsLabelled = async (
  q: Queryable,
  schema: string,
  tenant: string,
  labels: VmLabels,
  most: number,
): Promise<readonly (VmDoc & Pick<KnownVm, 'topology' | 'hostId'>)[]> =>
  (
    await q.query<{ vm: VmDoc & Pick<KnownVm, 'topology' | 'hostId'> }>(
      `select vm from ${schema}.known_vms where tenant = $1 and coalesce(vm -> 'labels', '{}') @> $2::jsonb
         and vm ? 'topology' and vm ? 'hostId' and vm ->> 'state' <> 'deleting' order by vm_id limit $3`,
      [tenant, JSON.stringify(labels), most],
    )
  ).rows.map((r) => r.vm);

/** Those that have booted, of this tenant, in the order asked for; what is not there is left out. */
export const knownVms = async (
  q: Queryable,
  schema: string,
  vmIds: readonly string[],
  /** Absent: of every tenant, for the fleet's own work. */
  tenant: string | undefined,
): Promise<KnownVm[]> => {
  const { rows } = await q.query<{ vm: VmDoc; version: number; tenant: string }>(
    `select vm, version, tenant from ${schema}.known_vms where vm_id = any($1) and ($2::text is null or tenant = $2)`,
    [vmIds, tenant ?? null],
  );
  const seen = await observedOf(q, schema, vmIds);
  const found = new Map(
    rows
      .filter((r) => r.vm.topology && r.vm.hostId)
      .map((r) => {
        const vm = { ...r.vm, tenant: r.tenant, version: r.version } as KnownVm;
        const of = seen.get(vm.vmId);
        return [vm.vmId, of && speaksOf(of, vm) ? { ...vm, observed: of.observed } : vm];
      }),
  );
  return vmIds.flatMap((id) => found.get(id) ?? []);
};
