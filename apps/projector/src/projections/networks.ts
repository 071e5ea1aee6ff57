import { networkEvents as e } from '@chrysalis/contracts';
import { merge, on, type Document, type Handler } from '../projection.ts';

const addressesOf = (before: Document): Readonly<Record<string, unknown>> => (before['addresses'] ?? {}) as Record<string, unknown>;
const reservedOf = (before: Document): Readonly<Record<string, unknown>> => (before['reserved'] ?? {}) as Record<string, unknown>;

/** `state`: active or deleted. */
export const networks: readonly Handler[] = [
  on(e.networkCreated, (d) => [merge('networks', d.networkId, { ...d, state: 'active', addresses: {} })]),
  on(e.networkAddressGiven, ({ networkId, address, vmId }) => [
    merge('networks', networkId, (before) => ({ addresses: { ...addressesOf(before), [address]: vmId } })),
  ]),
  on(e.networkAddressReturned, ({ networkId, address }) => [
    merge('networks', networkId, (before) => {
      const { [address]: _, ...addresses } = addressesOf(before);
      return { addresses };
    }),
  ]),
  on(e.networkAddressReserved, ({ networkId, address, addressId }) => [
    merge('networks', networkId, (before) => ({ reserved: { ...reservedOf(before), [address]: addressId } })),
  ]),
  on(e.networkAddressReleased, ({ networkId, address }) => [
    merge('networks', networkId, (before) => {
      const { [address]: _, ...reserved } = reservedOf(before);
      return { reserved };
    }),
  ]),
  on(e.networkDeleted, (d) => [merge('networks', d.networkId, { state: 'deleted' })]),
];
