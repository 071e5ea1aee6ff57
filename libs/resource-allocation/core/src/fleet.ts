import type { Amounts } from '@chrysalis/contracts';
import type { HostView } from '@chrysalis/placement';
import { evolveHost, heldInAll, initialHost, type Host, type HostEvent } from './host.ts';

/** All hosts folded from their events, for ranking. Mutable on purpose: one per process, kept up as events come. */
export class Fleet {
  readonly #hosts = new Map<string, { host: Host; version: number }>();
  readonly #views = new Map<string, Omit<HostView, 'connected'>>();

  /** Takes an event of a host's stream; versions already seen are passed over. */
  apply(hostId: string, version: number, event: HostEvent): void {
    const known = this.#hosts.get(hostId) ?? { host: initialHost, version: 0 };
    if (version <= known.version) return;
    this.#hosts.set(hostId, { host: evolveHost(known.host, event), version });
    this.#views.delete(hostId);
  }

  versionOf(hostId: string): number {
    return this.#hosts.get(hostId)?.version ?? 0;
  }

  addressOf(hostId: string): string | undefined {
    const host = this.#hosts.get(hostId)?.host;
    return host?.status === 'known' ? host.facts.address : undefined;
  }

  views(isConnected: (hostId: string) => boolean): HostView[] {
    const all: HostView[] = [];
    for (const hostId of this.#hosts.keys()) {
      const view = this.#viewOf(hostId);
      if (view) all.push({ ...view, connected: isConnected(hostId) });
    }
    return all;
  }

  #viewOf(hostId: string): Omit<HostView, 'connected'> | undefined {
    const kept = this.#views.get(hostId);
    if (kept) return kept;
    const host = this.#hosts.get(hostId)?.host;
    if (host?.status !== 'known') return undefined;
    const vms = new Map<string, Amounts>();
    for (const { consumer, vmId, amounts } of host.holds.values()) if (consumer.kind === 'vm') vms.set(vmId, amounts);
    const view = { facts: host.facts, state: host.state, held: heldInAll(host), vms };
    this.#views.set(hostId, view);
    return view;
  }
}
