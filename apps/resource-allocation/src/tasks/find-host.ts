import { resourceAllocationTasks as tasks, type Cause, type InputOf } from '@chrysalis/contracts';
import { findHost, type Refused } from '@chrysalis/placement';
import { done, Executor, failed, OnTask, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { FleetView } from '../fleet-view.ts';

/** So many refused hosts are enough for a cause. */
const TOLD = 100;

@Executor()
export class FindHost {
  /** A host that is away may come back, so that it is worth another try. */
  @OnTask(tasks.findHost)
  async findHost(input: InputOf<typeof tasks.findHost>, { tx, store }: TaskContext): ResultOf<typeof tasks.findHost> {
    const { candidates, refused } = findHost(await FleetView.of(store).hosts(tx), input);
    const [best] = candidates;
    if (best) return done({ hostId: best.hostId });
    return noHostFor(input.host, refused);
  }
}

/** Where room in a pool is all that is missing, at the host that is asked for or at each: that is the cause, in the pool's own words. */
export const fullPool = (asked: readonly Refused[], pinned: boolean): Cause | undefined => {
  const full = asked.filter((r) => r.reasons.every((x) => x.code === 'pool.capacity_exceeded'));
  const [first] = full;
  if (!first || (!pinned && full.length < asked.length)) return undefined;
  const { code, message, evidence } = first.reasons[0];
  return { code, message, retriable: false, detail: evidence };
};

/** Why none: for a pinned host its own first reason, else that there is none. */
export const noHostFor = (host: string | undefined, refused: readonly Refused[]): { readonly ok: false; readonly cause: Cause } => {
  const asked = refused.filter((r) => host === undefined || r.hostId === host);
  const full = fullPool(asked, host !== undefined);
  if (full) return failed(full);
  const text = asked.map((r) => `${r.hostId}: ${r.reasons.map((x) => `${x.code} (${x.message})`).join(', ')}`).join('; ');
  return failed({
    code: host === undefined ? 'placement.no_host' : (asked[0]?.reasons[0].code ?? 'placement.no_host'),
    message: (text || 'no host is known').slice(0, 2000),
    retriable: asked.some((r) => r.reasons.every((x) => x.code === 'host.agent_away')),
    detail: { refused: asked.slice(0, TOLD) },
  });
};
