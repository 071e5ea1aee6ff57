// What of a set may begin now, and whether anything more of it ever will.
import type { Cause, Plan, SetCounts, SetPolicy } from '@chrysalis/contracts';
import { Load, type Around, type Route } from './caps.ts';
import { openPart, orderOf, partsOf } from './order.ts';

type MoveOfSet = Readonly<{ vmId: string; state: 'running' | 'succeeded' | 'undone' | 'failed' }>;
/** Of a migration, what its pace depends on. */
export type SetState = Readonly<{
  plan: Pick<Plan, 'moves'>;
  concurrency: number;
  policy?: SetPolicy | undefined;
  moves: readonly MoveOfSet[];
  cancelled?: string | undefined;
  closed?: true | undefined;
}>;

const failures = (s: SetState): number => s.moves.filter((m) => m.state === 'failed' || m.state === 'undone').length;

/** With so many failures it stops: the share of a set is rounded up, so that of a small one it is never none. */
export const budgetOf = ({ maxFailures = 1 }: SetPolicy, total: number): number =>
  typeof maxFailures === 'number' ? maxFailures : Math.max(1, Math.ceil((total * Number(maxFailures.slice(0, -1))) / 100));

const orderOfSet = ({ plan, policy }: SetState): readonly string[] => {
  const ids = plan.moves.map((m) => m.vmId);
  const order = orderOf(ids, policy?.after);
  return order.ok ? order.vmIds : ids; // refused when it was asked for
};

/** Why no further move of it begins, whatever ends; undefined while some may. */
export const haltOf = (s: SetState): Cause | undefined => {
  const { policy = {}, plan } = s;
  if (s.cancelled !== undefined) return { code: 'migration.cancelled', message: s.cancelled };
  const canary = new Set(policy.canary === undefined ? [] : orderOfSet(s).slice(0, policy.canary));
  const dead = s.moves.find((m) => canary.has(m.vmId) && (m.state === 'failed' || m.state === 'undone'));
  if (dead) return { code: 'migration.canary_failed', message: `${dead.vmId} went first, and its move did not succeed` };
  const [failed, budget] = [failures(s), budgetOf(policy, plan.moves.length)];
  if (failed >= budget)
    return { code: 'migration.too_many_failures', message: `${failed} moves did not succeed, of ${budget} at which it stops` };
  return undefined;
};

/** Those that wait and whose turn it is, in order; who waits for one that did not succeed is through, as it never begins. */
export const eligible = (s: SetState): readonly string[] => {
  const { policy = {}, plan } = s;
  const states = new Map(s.moves.map((m) => [m.vmId, m.state]));
  const order = orderOfSet(s);
  const lost = lostOf(order, policy.after ?? {}, states);
  const isThrough = (id: string): boolean => lost.has(id) || (states.has(id) && states.get(id) !== 'running');
  const open = openPart(order, partsOf(policy, plan.moves.length), isThrough);
  const met = (id: string): boolean => (policy.after?.[id] ?? []).every((x) => states.get(x) === 'succeeded');
  return open.filter((id) => !states.has(id) && met(id));
};

const lostOf = (
  order: readonly string[],
  after: NonNullable<SetPolicy['after']>,
  states: ReadonlyMap<string, MoveOfSet['state']>,
): ReadonlySet<string> => {
  const lost = new Set<string>();
  const isLost = (id: string): boolean => lost.has(id) || states.get(id) === 'failed' || states.get(id) === 'undone';
  for (const id of order) if (!states.has(id) && (after[id] ?? []).some(isLost)) lost.add(id);
  return lost;
};

/** Of these, in their order, as many as `concurrency` and the limits leave room for beside what runs. */
export const admitted = (s: SetState, vmIds: readonly string[], { others, rackOf }: Around): readonly string[] => {
  const routes = new Map<string, Route>(s.plan.moves.map((m) => [m.vmId, m]));
  const running = s.moves.filter((m) => m.state === 'running');
  const own = running.flatMap((m) => routes.get(m.vmId) ?? []);
  const load = new Load(s.policy?.limits ?? {}, rackOf, [...others, ...own]);
  const found: string[] = [];
  for (const id of vmIds) {
    const route = routes.get(id);
    if (running.length + found.length >= s.concurrency) break;
    if (!route || !load.fits(route)) continue;
    load.add(route);
    found.push(id);
  }
  return found;
};

/** Whom to make ready: what `decide` would let begin now if each of them can. */
export const candidates = (s: SetState, around: Around, unready: ReadonlySet<string>): readonly string[] => {
  if (s.closed || haltOf(s)) return [];
  return admitted(
    s,
    eligible(s).filter((id) => !unready.has(id)),
    around,
  );
};

export const countsOf = (s: SetState): SetCounts => {
  const of = (state: MoveOfSet['state']): number => s.moves.filter((m) => m.state === state).length;
  const begun = new Set(s.moves.map((m) => m.vmId));
  return {
    succeeded: of('succeeded'),
    undone: of('undone'),
    failed: of('failed'),
    notBegun: s.plan.moves.filter((m) => !begun.has(m.vmId)).length,
  };
};
