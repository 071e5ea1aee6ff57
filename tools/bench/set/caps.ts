/** What the log of one migration shows, by its own order: how many moves were under way at once, and where. */
export type Caps = {
  readonly atOnce: number;
  readonly perSource: number;
  readonly perTarget: number;
  /** Moves that began twice, ended without a beginning, or never ended. */
  readonly torn: number;
};

export type Told = { readonly type: string; readonly data: Readonly<Record<string, unknown>> };
type Route = { readonly vmId: string; readonly fromHost: string; readonly toHost: string };

/** Of a migration's events, in their order. Knows nothing of what decided them. */
export const capsOf = (events: readonly Told[]): Caps => {
  const is = (e: Told, what: string): boolean => e.type.includes(`.${what}.v`);
  const requested = events.find((e) => is(e, 'migration.requested'))!;
  const { moves } = requested.data['plan'] as { moves: readonly Route[] };
  const routes = new Map(moves.map((m) => [m.vmId, m]));
  const running = new Map<string, Route>();
  const begun = new Set<unknown>();
  const most = { atOnce: 0, perSource: 0, perTarget: 0 };
  let torn = 0;
  for (const e of events) {
    const { vmId, moveId } = e.data as { vmId: string; moveId: string };
    if (is(e, 'move.started')) {
      if (begun.has(vmId)) torn++;
      begun.add(vmId);
      const route = routes.get(vmId)!;
      running.set(moveId, route);
      const now = [...running.values()];
      most.atOnce = Math.max(most.atOnce, now.length);
      most.perSource = Math.max(most.perSource, now.filter((r) => r.fromHost === route.fromHost).length);
      most.perTarget = Math.max(most.perTarget, now.filter((r) => r.toHost === route.toHost).length);
    } else if (is(e, 'move.ended') && !running.delete(moveId)) torn++;
  }
  return { ...most, torn: torn + running.size };
};
