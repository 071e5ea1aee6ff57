import { consumerText, type Amounts } from '@chrysalis/contracts';
import { accept, reject, type Decision } from '@chrysalis/kernel';
import { beyond, same } from '@chrysalis/placement';
import { heldBy, moveConsumer, vmConsumer, type Host, type HostEvent, type HostRejection } from './host.ts';

/**
 * On the host where the VM runs now: the move's hold becomes the VM's, of `amounts`. Where the VM came from another host, its
 * hold there ends by `release` in the same commit; where it stayed, its old hold here is replaced, and what a smaller type does
 * not need becomes free only now.
 */
export type Swap = Readonly<{ type: 'swap'; hostId: string; moveId: string; vmId: string; amounts: Amounts }>;

export const swap = ({ hostId, moveId, vmId, amounts }: Swap, host: Host): Decision<HostEvent, HostRejection> => {
  if (host.status === 'unknown') return reject({ code: 'host.unknown', hostId });
  const ofMove = heldBy(host, moveConsumer(moveId));
  const ofVm = heldBy(host, vmConsumer(vmId));
  const consumer = consumerText(moveConsumer(moveId));
  if (!ofMove) return ofVm && same(ofVm.amounts, amounts) ? accept() : reject({ code: 'allocation.unknown', hostId, consumer });

  // What was held for the move is exactly what the VM lacks for `amounts`: so the sum never rises here, and capacity holds.
  const lacks = ofVm ? beyond(amounts, ofVm.amounts) : amounts;
  if (ofMove.vmId !== vmId || !same(ofMove.amounts, lacks))
    return reject({ code: 'allocation.conflict', hostId, consumer, held: ofMove.amounts, asked: lacks });
  return accept({ type: 'chrysalis.resource-allocation.allocation.swapped.v1', data: { hostId, moveId, vmId, amounts } });
};
