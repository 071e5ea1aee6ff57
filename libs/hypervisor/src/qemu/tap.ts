import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { isNetworkId, type Nic } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import { tapAddress, tapName } from './segment/names.ts';
import type { Segments } from './segment/segments.ts';

/** `bridge`: a tap on that bridge, so that VMs reach each other and the outside at L2. `isolated`: a NIC that leads nowhere. */
export type Network = { readonly kind: 'bridge'; readonly bridge: string } | { readonly kind: 'isolated' };
/** On a network that this host is connected to, or on a segment that it makes its part of. */
type Wired = Omit<Nic, 'port'>;

const run = promisify(execFile);

export class Networks {
  private readonly networks: Readonly<Record<string, Network>>;

  constructor(
    networks: Readonly<Record<string, Network>>,
    readonly segments: Segments,
  ) {
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
  netdev(vmId: string, { id, network, segment }: Wired, socket: string): Record<string, unknown> {
    if (!segment && this.find(network).kind === 'isolated') return { type: 'stream', server: true, addr: { type: 'unix', path: socket } };
    return { type: 'tap', ifname: tapName(vmId, id), script: 'no', downscript: 'no' };
  }

  async attach(vmId: string, nic: Wired): Promise<void> {
    if (nic.segment) return this.segments.attach(vmId, nic);
    const { id, network } = nic;
    const found = this.find(network);
    if (found.kind === 'isolated') return;
    const tap = tapName(vmId, id);
    try {
      if (!existsSync(`/sys/class/net/${tap}`)) await run('ip', ['tuntap', 'add', 'dev', tap, 'mode', 'tap']);
      await run('ip', ['link', 'set', 'dev', tap, 'address', tapAddress(tap), 'master', found.bridge, 'up']);
    } catch (error) {
      await this.detach(vmId, id);
      throw new HypervisorError('hypervisor.network_unknown', `No tap on bridge ${found.bridge}: ${String(error)}`, {
        network,
        bridge: found.bridge,
      });
    }
  }

  /** A NIC on a segment has its network's id. */
  async detach(vmId: string, nic: string): Promise<void> {
    if (isNetworkId(nic)) return this.segments.detach(vmId, nic);
    await run('ip', ['link', 'delete', 'dev', tapName(vmId, nic)]).catch(() => undefined);
  }
}
