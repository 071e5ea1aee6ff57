import type { Consumer } from '@chrysalis/contracts';
import { accept, type Decision } from '@chrysalis/kernel';
import { heldBy, type Host, type HostEvent } from './host.ts';

/** Ends what a consumer holds here. Where it holds nothing, that is already so: every failure path may call this, twice. */
export type Release = Readonly<{ type: 'release'; hostId: string; consumer: Consumer; reason: string }>;

export const release = ({ hostId, consumer, reason }: Release, host: Host): Decision<HostEvent, never> => {
  const held = host.status === 'known' ? heldBy(host, consumer) : undefined;
  if (!held) return accept();
  const { vmId, amounts } = held;
  return accept({ type: 'chrysalis.resource-allocation.allocation.released.v1', data: { hostId, consumer, vmId, amounts, reason } });
};
