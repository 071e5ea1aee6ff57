import {
  hostDecider,
  hostStream,
  type Host,
  type HostCommand,
  type HostEvent,
  type HostRejection,
} from '@chrysalis/resource-allocation-core';
import { failpoint, type MessageContext, type StreamRefusal } from '@chrysalis/service-kit';
import { record } from './record.ts';

export type HostDecided =
  | { readonly ok: true; readonly events: readonly HostEvent[]; readonly version: number; readonly state: Host }
  | { readonly ok: false; readonly rejection: HostRejection | StreamRefusal };

/**
 * The host's stream decides, at the version it was read at; ledger and `hosts` follow in the same transaction. The caller has locked
 * the host's row where there is one: then nobody races, and a lost race (the first registration) runs the whole transaction again.
 */
export const decideHost = async (ctx: MessageContext, hostId: string, command: HostCommand, ifVersion?: number): Promise<HostDecided> => {
  const decided = await ctx.decide(hostStream(hostId), hostDecider, command, ifVersion === undefined ? {} : { ifVersion });
  if (!decided.ok) return decided;
  await failpoint('allocation:appended', { host: hostId, command: command.type });
  await record(ctx.tx, ctx.store.schema, hostId, decided.version, decided.events);
  await failpoint('allocation:recorded', { host: hostId, command: command.type });
  return decided;
};
