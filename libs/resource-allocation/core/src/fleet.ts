import { fold } from '@chrysalis/kernel';
import type { HostView } from '@chrysalis/placement';
import { evolveHost, hostView, initialHost, type Host, type HostEvent } from './host.ts';

/** All hosts folded from their events, for ranking. Mutable on purpose: one per process, kept up as events come. */
export class Fleet {
  readonly #hosts = new Map<string, { host: Host; version: number }>();
  readonly #views = new Map<string, View>();

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

  /** Every known host; `awayOf` says why its agent is not connected. `ahead` holds events that are not (yet) to be kept: of transactions still open, the caller's own for one. */
  views(awayOf: (hostId: string) => string | undefined, ahead: ReadonlyMap<string, readonly Versioned[]> = new Map()): HostView[] {
    const all: HostView[] = [];
    for (const hostId of new Set([...this.#hosts.keys(), ...ahead.keys()])) {
      const events = ahead.get(hostId)?.filter((e) => e.version > this.versionOf(hostId));
      const view = events ? viewOf(fold(evolveHost, this.#hostOf(hostId), events)) : this.#keptView(hostId);
      if (view) all.push({ ...view, away: awayOf(hostId) });
    }
    return all;
  }

  #hostOf(hostId: string): Host {
    return this.#hosts.get(hostId)?.host ?? initialHost;
  }

  #keptView(hostId: string): View | undefined {
    const kept = this.#views.get(hostId);
    if (kept) return kept;
    const view = viewOf(this.#hostOf(hostId));
    if (view) this.#views.set(hostId, view);
    return view;
  }
}

export type Versioned = HostEvent & { readonly version: number };
type View = Omit<HostView, 'away'>;
const viewOf = (host: Host): View | undefined => (host.status === 'unknown' ? undefined : hostView(host));
