import type { EventStore, StoredEvent } from '@chrysalis/event-store';
import { fold, type Decider } from '@chrysalis/kernel';
import type { KnownVm } from '@chrysalis/migration-templates-core';
import { ProblemError, reaches, type ApiRequest, type CommandContext, type ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { grantRefusal, knownGrant, type KnownGrant } from '../known/grants.ts';
import { eventually } from '../known/eventually.ts';
import { knownVms } from '../known/vms.ts';
import { inMove } from '../sql/moves.ts';

/** A stream's history, if it has one and the caller reaches it: another tenant's is as unknown as none. */
export const historyOf = async (
  store: EventStore,
  stream: string,
  request: Pick<ApiRequest, 'caller'>,
  unknown: () => ProblemError,
  tx?: pg.PoolClient,
): Promise<readonly StoredEvent[]> => {
  const history = await store.read(stream, {}, tx);
  if (!history[0] || !reaches(request.caller, history[0].meta.tenant)) throw unknown();
  return history;
};

export const foldOf = <S, E>(decider: Pick<Decider<never, S, E, unknown>, 'initial' | 'evolve'>, history: readonly StoredEvent[]): S =>
  fold(decider.evolve, decider.initial, history as unknown as E[]);

/** Before the transaction that needs them: VMs that provisioning has only just told of. */
export const vmsTold = async ({ pool, schema }: ServiceContext, asked: readonly string[], tenant: string): Promise<void> => {
  const vmIds = [...new Set(asked)];
  const look = (db: pg.Pool) => knownVms(db, schema, vmIds, tenant);
  await eventually(pool, look, (found) => found.length === vmIds.length);
};

/** All of these VMs, or `vm.unknown` with those that this tenant does not have, or that do not run. */
export const everyVm = async (tx: pg.PoolClient, schema: string, vmIds: readonly string[], tenant: string): Promise<KnownVm[]> => {
  const vms = await knownVms(tx, schema, vmIds, tenant);
  const missing = vmIds.filter((id) => !vms.some((vm) => vm.vmId === id));
  if (missing.length > 0)
    throw ProblemError.ofMember({ code: 'vm.unknown', vmIds: missing, message: `not known, or not running: ${missing.join(', ')}` });
  return vms;
};

export const grantTold = ({ pool, schema }: ServiceContext, grantId: string, tenant: string): Promise<unknown> =>
  eventually(
    pool,
    (db) => knownGrant(db, schema, grantId, tenant),
    (found) => found !== undefined,
  );

/** A grant that covers these VMs now, or why there is none. */
export const usableGrant = async (ctx: CommandContext, grantId: string, vmIds: readonly string[]): Promise<KnownGrant> => {
  const grant = await knownGrant(ctx.tx, ctx.store.schema, grantId, ctx.caller.tenant);
  if (!grant) throw ProblemError.ofMember({ code: 'grant.unknown', grantId });
  const refusal = grantRefusal(grant, vmIds, ctx.now);
  if (refusal) throw ProblemError.of(refusal);
  return grant;
};

/** The moves that these VMs are in, by our own account and by what provisioning told. */
export const movesUnderWay = async (tx: pg.PoolClient, schema: string, vmIds: readonly string[], vms: Iterable<KnownVm>) => [
  ...(await inMove(tx, schema, vmIds)),
  ...[...vms].flatMap((vm) => (vm.moveId ? [{ vmId: vm.vmId, moveId: vm.moveId }] : [])),
];
