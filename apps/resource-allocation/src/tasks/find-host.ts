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

/** Why none: for a pinned host its own first reason; else, where each that was asked has the same one, that; else that there is none. */
export const noHostFor = (host: string | undefined, refused: readonly Refused[]): { readonly ok: false; readonly cause: Cause } => {
  const asked = refused.filter((r) => host === undefined || r.hostId === host);
  const text = asked.map((r) => `${r.hostId}: ${r.reasons.map((x) => `${x.code} (${x.message})`).join(', ')}`).join('; ');
  const full = asked.find((r) => r.reasons.every((x) => x.code === 'pool.capacity_exceeded'));
  const codes = new Set(asked.map((r) => r.reasons[0].code));
  const pool = full && (host !== undefined || codes.size === 1);
  if (pool)
    return failed({ code: 'pool.capacity_exceeded', message: full.reasons[0].message, retriable: false, detail: full.reasons[0].evidence });
  return failed({
    code: host === undefined ? 'placement.no_host' : (asked[0]?.reasons[0].code ?? 'placement.no_host'),
    message: (text || 'no host is known').slice(0, 2000),
    retriable: asked.some((r) => r.reasons.every((x) => x.code === 'host.agent_away')),
    detail: { refused: asked.slice(0, TOLD) },
  });
};
