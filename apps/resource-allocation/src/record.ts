import { consumerText } from '@chrysalis/contracts';
import { atOnce, type Queryable } from '@chrysalis/event-store';
import { unreachable } from '@chrysalis/kernel';
import { moveConsumer, vmConsumer, type HostEvent } from '@chrysalis/resource-allocation-core';
import { writeFacts, writeState, writeVersion } from './sql/hosts.ts';
import * as ledger from './sql/ledger.ts';

/** Writes what a host's new events mean into `hosts` and the ledger, in the transaction that appended them. */
export const record = async (
  tx: Queryable,
  schema: string,
  hostId: string,
  version: number,
  events: readonly HostEvent[],
): Promise<void> => {
  if (events.length === 0) return;
  await atOnce(tx, [...events.map((event) => () => recordOne(tx, schema, event)), () => writeVersion(tx, schema, hostId, version)]);
};

const recordOne = (tx: Queryable, schema: string, e: HostEvent): Promise<void> => {
  switch (e.type) {
    case 'chrysalis.resource-allocation.host.registered.v1':
    case 'chrysalis.resource-allocation.host.facts-changed.v1':
      return writeFacts(tx, schema, e.data.facts);
    case 'chrysalis.resource-allocation.host.state-changed.v1':
      return writeState(tx, schema, e.data.hostId, e.data.to);
    case 'chrysalis.resource-allocation.allocation.held.v1':
      return ledger.hold(tx, schema, e.data.hostId, { consumer: consumerText(e.data.consumer), vm: e.data.vmId, amounts: e.data.amounts });
    case 'chrysalis.resource-allocation.allocation.released.v1':
      return ledger.release(tx, schema, e.data.hostId, consumerText(e.data.consumer));
    case 'chrysalis.resource-allocation.allocation.swapped.v1': {
      const { hostId, moveId, vmId, amounts } = e.data;
      return ledger.swap(tx, schema, hostId, { move: consumerText(moveConsumer(moveId)), vm: consumerText(vmConsumer(vmId)), amounts });
    }
    default:
      return unreachable(e);
  }
};
