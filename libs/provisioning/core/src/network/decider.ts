import type { NetworkEvent } from '@chrysalis/contracts';
import { unreachable, type Decider } from '@chrysalis/kernel';
import {
  giveAddress,
  releaseAddress,
  reserveAddress,
  returnAddress,
  type GiveAddress,
  type ReleaseAddress,
  type ReserveAddress,
  type ReturnAddress,
} from './address.ts';
import { createNetwork, deleteNetwork, type CreateNetwork, type DeleteNetwork } from './create.ts';
import { evolveNetwork, initialNetwork, type Network, type NetworkDecision } from './network.ts';

export type NetworkCommand = CreateNetwork | DeleteNetwork | GiveAddress | ReturnAddress | ReserveAddress | ReleaseAddress;

const decide = (command: NetworkCommand, network: Network): NetworkDecision => {
  switch (command.type) {
    case 'create':
      return createNetwork(command, network);
    case 'delete':
      return deleteNetwork(command, network);
    case 'give-address':
      return giveAddress(command, network);
    case 'return-address':
      return returnAddress(command, network);
    case 'reserve-address':
      return reserveAddress(command, network);
    case 'release-address':
      return releaseAddress(command, network);
    default:
      return unreachable(command);
  }
};

/** Decides on stream `network-<uuid>`, which is the network's id. */
export const networkDecider: Decider<NetworkCommand, Network, NetworkEvent, NetworkDecision> = {
  initial: initialNetwork,
  decide,
  evolve: evolveNetwork,
};
