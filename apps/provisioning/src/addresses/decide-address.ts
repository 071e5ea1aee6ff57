import type { AddressEvent } from '@chrysalis/contracts';
import { addresses } from '@chrysalis/provisioning-core';
import { failpoint, type MessageContext, type StreamRefusal } from '@chrysalis/service-kit';
import { writeAddress } from './sql.ts';

type AddressDecided =
  | { readonly ok: true; readonly events: readonly AddressEvent[]; readonly address: addresses.KnownAddress }
  | { readonly ok: false; readonly rejection: addresses.AddressRejection | StreamRefusal };

/** The address's stream decides; the service's own view of it follows in the same transaction. */
export const decideAddress = async (
  ctx: MessageContext,
  addressId: string,
  command: addresses.AddressCommand,
  ifVersion?: number,
): Promise<AddressDecided> => {
  const decided = await ctx.decide(addressId, addresses.addressDecider, command, ifVersion === undefined ? {} : { ifVersion });
  if (!decided.ok) return decided;
  const { events, state } = decided;
  if (state.status === 'unknown') return { ok: false, rejection: { code: 'address.unknown', addressId } };
  if (events.length > 0) {
    await failpoint('address:appended', { address: addressId, command: command.type });
    await writeAddress(ctx.tx, ctx.store.schema, state);
  }
  return { ok: true, events, address: state };
};
