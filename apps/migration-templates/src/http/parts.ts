import type { EventStore, StoredEvent } from '@chrysalis/event-store';
import { fold, type Decider } from '@chrysalis/kernel';
import type { KnownVm } from '@chrysalis/migration-templates-core';
import { ProblemError, reaches, type ApiRequest } from '@chrysalis/service-kit';
import type pg from 'pg';
import { soon } from '../known/soon.ts';
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

/** All of these VMs, or `vm.unknown` with those that this tenant does not have, or that do not run. */
export const everyVm = async (tx: pg.PoolClient, schema: string, vmIds: readonly string[], tenant: string): Promise<KnownVm[]> => {
  const vms = await soon(
    () => knownVms(tx, schema, vmIds, tenant),
    (found) => found.length === vmIds.length,
  );
  const missing = vmIds.filter((id) => !vms.some((vm) => vm.vmId === id));
  if (missing.length > 0)
    throw ProblemError.ofMember({ code: 'vm.unknown', vmIds: missing, message: `not known, or not running: ${missing.join(', ')}` });
  return vms;
};

/** The moves that these VMs are in, by our own account and by what provisioning told. */
export const movesUnderWay = async (tx: pg.PoolClient, schema: string, vmIds: readonly string[], vms: Iterable<KnownVm>) => [
  ...(await inMove(tx, schema, vmIds)),
  ...[...vms].flatMap((vm) => (vm.moveId ? [{ vmId: vm.vmId, moveId: vm.moveId }] : [])),
];
