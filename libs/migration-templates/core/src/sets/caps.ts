// How many moves are under way where, and whether one more may be.
import type { SetLimits } from '@chrysalis/contracts';

export type Route = Readonly<{ fromHost: string; toHost: string }>;
/** What runs beside a set's own moves, and in which rack each host is. A host that is not named has no rack, and no limit of one. */
export type Around = Readonly<{ others: readonly Route[]; rackOf: ReadonlyMap<string, string> }>;
export const nothingAround: Around = { others: [], rackOf: new Map() };

export class Load {
  readonly #n = new Map<string, number>();

  constructor(
    private readonly limits: SetLimits,
    private readonly rackOf: ReadonlyMap<string, string>,
    running: readonly Route[],
  ) {
    for (const route of running) this.add(route);
  }

  add(route: Route): void {
    for (const [place] of placesOf(route, this.limits, this.rackOf)) this.#n.set(place, (this.#n.get(place) ?? 0) + 1);
  }

  /** One more of these, without more anywhere than is allowed there. */
  fits(route: Route): boolean {
    return placesOf(route, this.limits, this.rackOf).every(([place, limit]) => (this.#n.get(place) ?? 0) < limit);
  }
}

/**
 * Where a move counts, and how many may be there at once. A move within one host, or one rack, counts there once; of one whose target is
 * not known yet, where it comes from.
 */
export const placesOf = (
  { fromHost, toHost }: Readonly<{ fromHost: string; toHost?: string | undefined }>,
  { perSource, perTarget, perHost, perRack, fleet }: SetLimits,
  rackOf: ReadonlyMap<string, string>,
): [place: string, limit: number][] => {
  const ends = [...new Set(toHost === undefined ? [fromHost] : [fromHost, toHost])];
  const racks = new Set(ends.flatMap((h) => rackOf.get(h) ?? []));
  const places: [string, number | undefined][] = [
    [`from ${fromHost}`, perSource],
    ...(toHost === undefined ? [] : [[`to ${toHost}`, perTarget] as [string, number | undefined]]),
    ...ends.map((h): [string, number | undefined] => [`at ${h}`, perHost]),
    ...[...racks].map((r): [string, number | undefined] => [`in ${r}`, perRack]),
    ['fleet', fleet],
  ];
  return places.flatMap(([place, limit]) => (limit === undefined ? [] : [[place, limit]]));
};
