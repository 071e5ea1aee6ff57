import { unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { changeState, type ChangeState } from './change-state.ts';
import { hold, type HoldCapacity } from './hold.ts';
import { evolveHost, initialHost, type Host, type HostEvent, type HostRejection } from './host.ts';
import { release, type Release } from './release.ts';
import { reportFacts, type ReportFacts } from './report-facts.ts';
import { swap, type Swap } from './swap.ts';

export type HostCommand = ReportFacts | ChangeState | HoldCapacity | Release | Swap;

const decide = (command: HostCommand, host: Host): Decision<HostEvent, HostRejection> => {
  switch (command.type) {
    case 'report-facts':
      return reportFacts(command, host);
    case 'change-state':
      return changeState(command, host);
    case 'hold':
      return hold(command, host);
    case 'release':
      return release(command, host);
    case 'swap':
      return swap(command, host);
    default:
      return unreachable(command);
  }
};

/** Decides on stream `host-<id>`. */
export const hostDecider: Decider<HostCommand, Host, HostEvent, Decision<HostEvent, HostRejection>> = {
  initial: initialHost,
  decide,
  evolve: evolveHost,
};
export const hostStream = (hostId: string): string => `host-${hostId}`;
