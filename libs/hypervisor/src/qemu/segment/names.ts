import { createHash } from 'node:crypto';

/** Interface names have at most 15 characters. The same NIC has the same name always: making it twice makes one. */
export const tapName = (vmId: string, nic: string): string =>
  `chyt${createHash('sha256').update(`${vmId} ${nic}`).digest('hex').slice(0, 10)}`;

/**
 * A bridge takes the lowest address of its ports. A tap with a low one would change the host's own address as VMs come and go,
 * and every peer would send to the old one until its ARP entry runs out: seconds in which the host agents don't reach each other.
 */
export const tapAddress = (tap: string): string => `fe:${tap.slice(4).match(/../g)!.join(':')}`;

export const VXLAN_PORT = 4789;
/** What a segment is on a host. */
export const BRIDGES = 'chyb';
/** The cable to its DHCP, which is in a namespace of its own; and what that is called there. */
const CABLES = 'chyd';
export const INSIDE = 'eth0';
export const TUNNELS = 'chyv';
export const bridgeName = (vni: number): string => `${BRIDGES}${vni}`;
export const cableName = (vni: number): string => `${CABLES}${vni}`;
export const tunnelName = (vni: number): string => `${TUNNELS}${vni}`;

/** The MAC of a segment's DHCP begins so; all hosts' have the same one, and none of theirs goes from host to host. */
export const HOST_MACS = '02:63:68:00:00:00';
const macOf = (first: string, vni: number): string => `${first}:63:68:${vni.toString(16).padStart(6, '0').match(/../g)!.join(':')}`;
export const hostMac = (vni: number): string => macOf('02', vni);
/** Said, so that it does not change with the bridge's ports. Nobody is behind it. */
export const bridgeMac = (vni: number): string => macOf('06', vni);
