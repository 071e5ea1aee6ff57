import type { SegmentPart, Topology } from '@chrysalis/contracts';

/** Parts of segments that put no frame on any wire: one for each that a VM of the host is on, and what its peers are. */
export class SimulatedSegments {
  readonly #peers = new Map<number, { readonly version: number; readonly peers: readonly string[] }>();
  readonly #listeners = new Set<() => void>();
  #told = '';

  constructor(private readonly here: () => readonly Topology[]) {}

  parts(): SegmentPart[] {
    const vnis = new Set(this.here().flatMap((t) => t.nics.flatMap((n) => n.segment?.vni ?? [])));
    return [...vnis].sort((a, b) => a - b).map((vni) => ({ vni, peersVersion: this.#peers.get(vni)?.version ?? 0 }));
  }

  on(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Something of the VMs changed. What is known of the peers of a segment that is left is forgotten, as on a real host. */
  changed(): void {
    const vnis = this.parts().map((p) => p.vni);
    for (const vni of this.#peers.keys()) if (!vnis.includes(vni)) this.#peers.delete(vni);
    if (vnis.join() === this.#told) return;
    this.#told = vnis.join();
    for (const listener of this.#listeners) listener();
  }

  peersOf(vni: number): readonly string[] {
    return this.#peers.get(vni)?.peers ?? [];
  }
  setPeers(vni: number, version: number, peers: readonly string[]): void {
    const part = this.parts().find((p) => p.vni === vni);
    if (part && version > part.peersVersion) this.#peers.set(vni, { version, peers });
  }
}
