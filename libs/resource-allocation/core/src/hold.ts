import { consumerText, type Amounts, type Consumer } from '@chrysalis/contracts';
import { accept, reject, type Decision } from '@chrysalis/kernel';
import { misfits, needOn, same, shortages, stateRefuses, staysOn } from '@chrysalis/placement';
import { heldBy, heldInAll, vmConsumer, type Host, type HostEvent, type HostRejection, type KnownHost } from './host.ts';

/**
 * A consumer wants amounts on this host. `amounts` are what the VM shall have in the end; a move of a VM that is here already
 * holds only what the VM does not hold yet, so that the same memory isn't counted twice.
 */
export type HoldCapacity = Readonly<{ type: 'hold'; hostId: string; consumer: Consumer; vmId: string; amounts: Amounts }>;

export const hold = (cmd: HoldCapacity, host: Host): Decision<HostEvent, HostRejection> => {
  const { hostId, consumer, vmId } = cmd;
  if (host.status === 'unknown') return reject({ code: 'host.unknown', hostId });
  const { need, stays } = needHere(cmd, host);

  const previous = heldBy(host, consumer);
  if (previous)
    return previous.vmId === vmId && same(previous.amounts, need)
      ? accept() // redelivery: already true, say nothing
      : reject({ code: 'allocation.conflict', hostId, consumer: consumerText(consumer), held: previous.amounts, asked: need });

  const stateCode = stateRefuses(host.state, stays);
  if (stateCode) return reject({ code: stateCode as 'host.cordoned', hostId });
  const wrong = misfits(host.facts, cmd.amounts);
  if (wrong.length > 0) return reject({ code: 'host.amount_unsupported', hostId, misfits: wrong });
  const short = shortages(host.facts, heldInAll(host), need);
  if (short.length > 0) return reject({ code: 'host.capacity_exceeded', hostId, shortages: short });
  return accept({ type: 'chrysalis.resource-allocation.allocation.held.v1', data: { hostId, consumer, vmId, amounts: need } });
};

/** The engine's own rule of what is needed, asked of this host's state. */
const needHere = (cmd: HoldCapacity, host: KnownHost): { need: Amounts; stays: boolean } => {
  const ofVm = heldBy(host, vmConsumer(cmd.vmId));
  const view = { vms: new Map(ofVm ? [[cmd.vmId, ofVm.amounts]] : []) };
  const request = { vmId: cmd.vmId, consumer: cmd.consumer.kind, amounts: cmd.amounts };
  return { need: needOn(view, request), stays: staysOn(view, request) };
};
