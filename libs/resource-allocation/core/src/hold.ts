import { consumerText, type Amounts, type Consumer } from '@chrysalis/contracts';
import { accept, reject, type Decision } from '@chrysalis/kernel';
import { ledgerPolicies, needOn, reasonsAgainst, same } from '@chrysalis/placement';
import { heldBy, hostView, type Host, type HostEvent, type HostRejection } from './host.ts';

/**
 * A consumer wants amounts on this host. `amounts` are what the VM shall have in the end; a move of a VM that is here already
 * holds only what the VM does not hold yet, so that the same memory isn't counted twice.
 */
export type HoldCapacity = Readonly<{ type: 'hold'; hostId: string; consumer: Consumer; vmId: string; amounts: Amounts }>;

/** The engine decides here as well, by those of its policies that the ledger is about, and on what the stream says at this version. */
export const hold = (cmd: HoldCapacity, host: Host): Decision<HostEvent, HostRejection> => {
  const { hostId, consumer, vmId } = cmd;
  if (host.status === 'unknown') return reject({ code: 'host.unknown', hostId });
  const view = hostView(host);
  const request = { vmId, consumer: consumer.kind, amounts: cmd.amounts };
  const need = needOn(view, request);

  const previous = heldBy(host, consumer);
  if (previous)
    return previous.vmId === vmId && same(previous.amounts, need)
      ? accept() // redelivery: already true, say nothing
      : reject({ code: 'allocation.conflict', hostId, consumer: consumerText(consumer), held: previous.amounts, asked: need });

  const [refused] = reasonsAgainst(view, request, ledgerPolicies);
  if (refused) return reject({ code: refused.code, hostId, message: refused.message, ...refused.evidence });
  return accept({ type: 'chrysalis.resource-allocation.allocation.held.v1', data: { hostId, consumer, vmId, amounts: need } });
};
