import type { NetworkEvent } from '@chrysalis/contracts';
import { networks } from '@chrysalis/provisioning-core';
import { failpoint, type MessageContext, type StreamRefusal } from '@chrysalis/service-kit';
import { writeNetwork } from './sql.ts';

type NetworkDecided =
  | { readonly ok: true; readonly events: readonly NetworkEvent[]; readonly network: networks.KnownNetwork }
  | { readonly ok: false; readonly rejection: networks.NetworkRejection | StreamRefusal };

/** The network's stream decides; the service's own view of it follows in the same transaction. */
export const decideNetwork = async (
  ctx: MessageContext,
  networkId: string,
  command: networks.NetworkCommand,
  ifVersion?: number,
): Promise<NetworkDecided> => {
  const decided = await ctx.decide(networkId, networks.networkDecider, command, ifVersion === undefined ? {} : { ifVersion });
  if (!decided.ok) return decided;
  const { events, state } = decided;
  if (state.status === 'unknown') return { ok: false, rejection: { code: 'network.unknown', networkId } };
  if (events.length > 0) {
    await failpoint('network:appended', { network: networkId, command: command.type });
    await writeNetwork(ctx.tx, ctx.store.schema, state, events);
  }
  return { ok: true, events, network: state };
};
