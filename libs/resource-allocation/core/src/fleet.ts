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

  /** What the host's events lead to, up to a version: those that are kept, and `ahead` of them. */
  known(hostId: string, ahead: readonly Versioned[] = []): KnownState {
    const { host, version } = this.#hosts.get(hostId) ?? { host: initialHost, version: 0 };
    const events = ahead.filter((e) => e.version > version);
    return { state: fold(evolveHost, host, events), version: events.at(-1)?.version ?? version };
  }

  /** Every known host; `awayOf` says why its agent is not connected. `ahead` are hosts with events that are not (yet) to be kept: of transactions still open, the caller's own for one. */
  views(awayOf: (hostId: string) => string | undefined, ahead: ReadonlyMap<string, KnownState> = new Map()): HostView[] {
    const all: HostView[] = [];
    for (const hostId of new Set([...this.#hosts.keys(), ...ahead.keys()])) {
      const further = ahead.get(hostId);
      const view = further ? viewOf(further.state) : this.#keptView(hostId);
      if (view) all.push({ ...view, away: awayOf(hostId) });
    }
    return all;
  }

  #keptView(hostId: string): View | undefined {
    const kept = this.#views.get(hostId);
    if (kept) return kept;
    const view = viewOf(this.known(hostId).state);
    if (view) this.#views.set(hostId, view);
    return view;
  }
}

export type KnownState = { readonly state: Host; readonly version: number };
export type Versioned = HostEvent & { readonly version: number };
type View = Omit<HostView, 'away'>;
const viewOf = (host: Host): View | undefined => (host.status === 'unknown' ? undefined : hostView(host));
