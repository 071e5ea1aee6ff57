import { DEFAULT_PRIORITY, type TenantLimit, type WorkflowLimits } from '@chrysalis/contracts';

/**
 * Waiting so long counts as much as one step of priority. So a request is overtaken only by those that come within (9 − its priority) of
 * these after it, and every one comes to its turn: a priority is a head start, not a privilege.
 */
export const AGE_MS = 60_000;
/** So many requests of a tenant may wait where no limit says otherwise. */
export const DEFAULT_QUEUED = 1_000;

/** `rank`, in milliseconds since 1970: when it was queued, less its head start. The lower goes first among the same tenant and kind. */
export type Waiting = { readonly workflowId: string; readonly tenant: string; readonly kind: string; readonly rank: number };
export type Running = { readonly tenant: string; readonly kind: string; readonly count: number };

export const rankOf = (queuedAt: number, priority = DEFAULT_PRIORITY): number => queuedAt - priority * AGE_MS;

export const tenantLimit = (limits: WorkflowLimits, tenant: string): TenantLimit =>
  (limits.tenants && Object.hasOwn(limits.tenants, tenant) ? limits.tenants[tenant] : limits.perTenant) ?? {};
const kindLimit = (limits: WorkflowLimits, kind: string): number | undefined =>
  limits.kinds && Object.hasOwn(limits.kinds, kind) ? limits.kinds[kind]!.running : undefined;

/** Whether any number bounds the workflows of this kind and tenant; where none does, they start at once. */
export const isLimited = (limits: WorkflowLimits, tenant: string, kind: string): boolean =>
  limits.overall?.running !== undefined || tenantLimit(limits, tenant).running !== undefined || kindLimit(limits, kind) !== undefined;

/** Whether one more request may wait beside `queued` others of its tenant. */
export const mayQueue = (limits: WorkflowLimits, tenant: string, queued: number): boolean =>
  queued < (tenantLimit(limits, tenant).queued ?? DEFAULT_QUEUED);

/**
 * Who starts now, in order; at most `most`. First by level (priority and age), on one level the tenant with the fewest running for its
 * weight, then who waits longest. Whose tenant or kind is full is passed over, and holds nobody back. `waiting` must hold the lowest
 * ranks of each tenant and kind, `most` of them or all there are. O(most × groups).
 */
export const nextToStart = (
  limits: WorkflowLimits,
  running: readonly Running[],
  waiting: readonly Waiting[],
  now: number,
  most: number,
): readonly string[] => {
  const room = new Room(limits, running);
  const groups = groupsOf(waiting);
  const chosen: string[] = [];
  while (chosen.length < most && room.overall > 0) {
    let best: Group | undefined;
    for (const group of groups)
      if (group.head && room.of(group.tenant, group.kind) > 0 && (!best || isBefore(group, best, room, now))) best = group;
    if (!best) break;
    chosen.push(best.head!.workflowId);
    room.take(best.tenant, best.kind);
    best.head = best.items[++best.next];
  }
  return chosen;
};

type Group = {
  readonly tenant: string;
  readonly kind: string;
  readonly items: readonly Waiting[];
  next: number;
  head: Waiting | undefined;
};

const groupsOf = (waiting: readonly Waiting[]): Group[] =>
  [...Map.groupBy(waiting, (w) => JSON.stringify([w.tenant, w.kind])).values()].map((list) => {
    const items = list.toSorted((a, b) => a.rank - b.rank || (a.workflowId < b.workflowId ? -1 : 1));
    const { tenant, kind } = items[0]!;
    return { tenant, kind, items, next: 0, head: items[0] };
  });

const isBefore = (a: Group, b: Group, room: Room, now: number): boolean => {
  const level = levelOf(a.head!, now) - levelOf(b.head!, now);
  if (level !== 0) return level > 0;
  const share = a.tenant === b.tenant ? 0 : room.share(a.tenant) - room.share(b.tenant);
  if (share !== 0) return share < 0;
  return a.head!.rank < b.head!.rank || (a.head!.rank === b.head!.rank && a.head!.workflowId < b.head!.workflowId);
};
const levelOf = (w: Waiting, now: number): number => Math.floor((now - w.rank) / AGE_MS);

/** How many more may start, as it stands while some are chosen. */
class Room {
  readonly #tenants = new Map<string, number>();
  readonly #kinds = new Map<string, number>();
  #all = 0;

  constructor(
    private readonly limits: WorkflowLimits,
    running: readonly Running[],
  ) {
    for (const { tenant, kind, count } of running) this.take(tenant, kind, count);
  }

  get overall(): number {
    return (this.limits.overall?.running ?? Infinity) - this.#all;
  }

  of(tenant: string, kind: string): number {
    const ofTenant = (tenantLimit(this.limits, tenant).running ?? Infinity) - (this.#tenants.get(tenant) ?? 0);
    return Math.min(ofTenant, (kindLimit(this.limits, kind) ?? Infinity) - (this.#kinds.get(kind) ?? 0));
  }

  share(tenant: string): number {
    return (this.#tenants.get(tenant) ?? 0) / (tenantLimit(this.limits, tenant).weight ?? 1);
  }

  take(tenant: string, kind: string, count = 1): void {
    this.#tenants.set(tenant, (this.#tenants.get(tenant) ?? 0) + count);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + count);
    this.#all += count;
  }
}

/** How fast a tenant's requests leave the queue: starts a second, the last minute counting most. `at` in milliseconds since 1970. */
export type Pace = { readonly rate: number; readonly at: number };
const PACE_MS = 60_000;
const rateAt = ({ rate, at }: Pace, now: number): number => rate * Math.exp(-Math.max(0, now - at) / PACE_MS);

export const paceAfter = (before: Pace | undefined, started: number, now: number): Pace => ({
  rate: (before ? rateAt(before, now) : 0) + (started * 1_000) / PACE_MS,
  at: now,
});

/** When a place in a full queue may be expected, in whole seconds from 1 to 300: at the pace of late. */
export const retryAfterSeconds = (pace: Pace | undefined, now: number): number => {
  const rate = pace ? rateAt(pace, now) : 0;
  return Math.min(300, Math.max(1, Math.ceil(1 / Math.max(rate, 1e-6))));
};
