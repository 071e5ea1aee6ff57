import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { HypervisorError } from '../errors.ts';

/** `bridge`: a tap on that bridge, so that VMs reach each other and the outside at L2. `isolated`: a NIC that leads nowhere. */
export type Network = { readonly kind: 'bridge'; readonly bridge: string } | { readonly kind: 'isolated' };

const run = promisify(execFile);
/** Interface names have at most 15 characters. The same NIC has the same name always: making it twice makes one. */
const tapName = (vmId: string, nic: string): string => `chyt${createHash('sha256').update(`${vmId} ${nic}`).digest('hex').slice(0, 10)}`;

/**
 * A bridge takes the lowest address of its ports. A tap with a low one would change the host's own address as VMs come and go,
 * and every peer would send to the old one until its ARP entry runs out: seconds in which the host agents don't reach each other.
 */
const tapAddress = (tap: string): string => `fe:${tap.slice(4).match(/../g)!.join(':')}`;

export class Networks {
  private readonly networks: Readonly<Record<string, Network>>;

  constructor(networks: Readonly<Record<string, Network>>) {
    this.networks = networks;
  }

  get names(): string[] {
    return Object.keys(this.networks).sort();
  }

  find(name: string): Network {
    const network = this.networks[name];
    if (!network)
      throw new HypervisorError('hypervisor.network_unknown', `No network ${name} on this host`, { network: name, networks: this.names });
    return network;
  }

  /** An isolated NIC ends in a socket that nobody opens. */
  netdev(vmId: string, network: string, nic: string, socket: string): Record<string, unknown> {
    const { kind } = this.find(network);
    if (kind === 'isolated') return { type: 'stream', server: true, addr: { type: 'unix', path: socket } };
    return { type: 'tap', ifname: tapName(vmId, nic), script: 'no', downscript: 'no' };
  }

  async attach(vmId: string, network: string, nic: string): Promise<void> {
    const found = this.find(network);
    if (found.kind === 'isolated') return;
    const tap = tapName(vmId, nic);
    try {
      if (!existsSync(`/sys/class/net/${tap}`)) await run('ip', ['tuntap', 'add', 'dev', tap, 'mode', 'tap']);
      await run('ip', ['link', 'set', 'dev', tap, 'address', tapAddress(tap), 'master', found.bridge, 'up']);
    } catch (error) {
      await this.detach(vmId, nic);
      throw new HypervisorError('hypervisor.network_unknown', `No tap on bridge ${found.bridge}: ${String(error)}`, {
        network,
        bridge: found.bridge,
      });
    }
  }

  async detach(vmId: string, nic: string): Promise<void> {
    await run('ip', ['link', 'delete', 'dev', tapName(vmId, nic)]).catch(() => undefined);
  }
}
