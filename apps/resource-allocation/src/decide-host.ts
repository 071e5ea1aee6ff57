import {
  hostDecider,
  hostStream,
  type Host,
  type HostCommand,
  type HostEvent,
  type HostRejection,
} from '@chrysalis/resource-allocation-core';
import type { Known } from '@chrysalis/event-store';
import { failpoint, type MessageContext, type StreamRefusal } from '@chrysalis/service-kit';
import { FleetView } from './fleet-view.ts';
import { record } from './record.ts';

export type HostDecided =
  | { readonly ok: true; readonly events: readonly HostEvent[]; readonly version: number; readonly state: Host }
  | { readonly ok: false; readonly rejection: HostRejection | StreamRefusal };

/**
 * The host's stream decides, at the version it was read at: what the view in memory has of it is not read again, or each hold would cost
 * as much as all before it on the host. Ledger and `hosts` follow in the same transaction. The caller has locked
 * the host's row where there is one: then nobody races, and a lost race (the first registration) runs the whole transaction again.
 */
export const decideHost = async (
  ctx: MessageContext,
  hostId: string,
  command: HostCommand,
  {
    ifVersion,
    known = FleetView.of(ctx.store).fleet.known(hostId),
  }: { readonly ifVersion?: number | undefined; readonly known?: Known<Host> } = {},
): Promise<HostDecided> => {
  const decided = await ctx.decide(hostStream(hostId), hostDecider, command, { ifVersion, known });
  if (!decided.ok) return decided;
  await failpoint('allocation:appended', { host: hostId, command: command.type });
  await record(ctx.tx, ctx.store.schema, hostId, decided.version, decided.events);
  await failpoint('allocation:recorded', { host: hostId, command: command.type });
  return decided;
};
