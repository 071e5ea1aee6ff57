// In which turn each move of a set begins at the earliest, as if all of them took as long: by its order, its parts and its limits.
import type { SetPolicy } from '@chrysalis/contracts';
import { placesOf, type Route } from './caps.ts';
import { partsOf } from './order.ts';

export type Pace = Readonly<{
  concurrency: number;
  policy?: SetPolicy | undefined;
  /** In which rack each host is. */
  rackOf: ReadonlyMap<string, string>;
}>;
type Way = Readonly<{ fromHost: string; toHost?: string }>;

/** VMs are given their turns in the order in which they go (`orderOf`). What others have under way then is not known, and not counted. */
export class Turns {
  /** By place, how many begin in each turn, and the first turn with room there: a turn that is full stays so. */
  readonly #begun = new Map<string, number[]>();
  readonly #open = new Map<string, number>();
  readonly #turnOf = new Map<string, number>();
  readonly #ends: ReadonlySet<number>;
  #given = 0;
  #floor = 0;
  #last = -1;

  constructor(
    private readonly pace: Pace,
    total: number,
  ) {
    this.#ends = new Set(partsOf(pace.policy ?? {}, total));
  }

  /** How many turns it takes. */
  get count(): number {
    return this.#last + 1;
  }

  /** Without a target: not before this, whichever it is. */
  soonest(vmId: string, way: Way): number {
    const after = (this.pace.policy?.after?.[vmId] ?? []).map((id) => (this.#turnOf.get(id) ?? -1) + 1);
    const places = this.#placesOf(way);
    let turn = Math.max(this.#floor, ...after, ...places.map(([place]) => this.#open.get(place) ?? 0));
    while (places.some(([place, limit]) => (this.#begun.get(place)?.[turn] ?? 0) >= limit)) turn++;
    return turn;
  }

  /** It begins as soon as it can; without a route it never does, and has its place in the order all the same. */
  take(vmId: string, route: Route | undefined): void {
    if (route) {
      const turn = this.soonest(vmId, route);
      for (const [place, limit] of this.#placesOf(route)) this.#count(place, limit, turn);
      this.#turnOf.set(vmId, turn);
      this.#last = Math.max(this.#last, turn);
    }
    if (this.#ends.has(++this.#given)) this.#floor = this.#last + 1;
  }

  #count(place: string, limit: number, turn: number): void {
    const begun = this.#begun.get(place) ?? [];
    begun[turn] = (begun[turn] ?? 0) + 1;
    this.#begun.set(place, begun);
    let open = this.#open.get(place) ?? 0;
    while ((begun[open] ?? 0) >= limit) open++;
    this.#open.set(place, open);
  }

  #placesOf(way: Way): [place: string, limit: number][] {
    const { concurrency, policy, rackOf } = this.pace;
    return [...placesOf(way, policy?.limits ?? {}, rackOf), ['set', concurrency]];
  }
}

/** Of so many hosts at most, the best ones, it is looked which lets a move begin first. */
const MOST_LOOKED_AT = 100;

/** Of hosts in their ranking the one where the move begins soonest, and of several that are equal in that the best. */
export const soonestOf = (turns: Turns, vmId: string, fromHost: string, ranked: readonly string[]): string | undefined => {
  const bound = turns.soonest(vmId, { fromHost });
  let best: { host: string; turn: number } | undefined;
  for (const host of ranked.slice(0, MOST_LOOKED_AT)) {
    const turn = turns.soonest(vmId, { fromHost, toHost: host });
    if (best === undefined || turn < best.turn) best = { host, turn };
    if (best.turn === bound) break;
  }
  return best?.host;
};
