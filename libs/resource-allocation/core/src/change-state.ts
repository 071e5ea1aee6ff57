import type { HostState } from '@chrysalis/contracts';
import { accept, reject, type Decision } from '@chrysalis/kernel';
import type { Host, HostEvent, HostRejection } from './host.ts';

/**
 * What the host may be used for from now on. Holds stay as they are: evacuating is somebody else's decision. That it is to be left is
 * told each time somebody says so, for whoever acts on it goes again then.
 */
export type ChangeState = Readonly<{ type: 'change-state'; hostId: string; to: HostState; reason: string }>;

export const changeState = ({ hostId, to, reason }: ChangeState, host: Host): Decision<HostEvent, HostRejection> => {
  if (host.status === 'unknown') return reject({ code: 'host.unknown', hostId });
  if (host.state === to && !toBeLeft(to)) return accept();
  return accept({ type: 'chrysalis.resource-allocation.host.state-changed.v1', data: { hostId, from: host.state, to, reason } });
};

const toBeLeft = (state: HostState): boolean => state === 'draining' || state === 'retiring';
