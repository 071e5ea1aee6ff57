import type { AddressEvent } from '@chrysalis/contracts';
import { unreachable, type Decider } from '@chrysalis/kernel';
import { evolveAddress, initialAddress, type Address, type AddressDecision } from './address.ts';
import {
  failAction,
  leaveVm,
  recordBound,
  recordUnbound,
  release,
  requestBind,
  requestUnbind,
  reserve,
  type FailAction,
  type LeaveVm,
  type RecordBound,
  type RecordUnbound,
  type Release,
  type RequestBind,
  type RequestUnbind,
  type Reserve,
} from './bind.ts';

export type AddressCommand = Reserve | RequestBind | RecordBound | RequestUnbind | RecordUnbound | LeaveVm | FailAction | Release;

const decide = (command: AddressCommand, address: Address): AddressDecision => {
  switch (command.type) {
    case 'reserve':
      return reserve(command, address);
    case 'request-bind':
      return requestBind(command, address);
    case 'record-bound':
      return recordBound(command, address);
    case 'request-unbind':
      return requestUnbind(command, address);
    case 'record-unbound':
      return recordUnbound(command, address);
    case 'leave-vm':
      return leaveVm(command, address);
    case 'fail-action':
      return failAction(command, address);
    case 'release':
      return release(command, address);
    default:
      return unreachable(command);
  }
};

/** Decides on stream `address-<uuid>`, which is the address's id. */
export const addressDecider: Decider<AddressCommand, Address, AddressEvent, AddressDecision> = {
  initial: initialAddress,
  decide,
  evolve: evolveAddress,
};
