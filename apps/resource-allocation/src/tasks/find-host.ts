import { resourceAllocationTasks as tasks, type InputOf } from '@chrysalis/contracts';
import { findHost } from '@chrysalis/placement';
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
    const asked = refused.filter((r) => input.host === undefined || r.hostId === input.host);
    const text = asked.map((r) => `${r.hostId}: ${r.reasons.map((x) => `${x.code} (${x.message})`).join(', ')}`).join('; ');
    return failed({
      code: input.host === undefined ? 'placement.no_host' : (asked[0]?.reasons[0].code ?? 'placement.no_host'),
      message: (text || 'no host is known').slice(0, 2000),
      retriable: asked.some((r) => r.reasons.every((x) => x.code === 'host.agent_away')),
      detail: { refused: asked.slice(0, TOLD) },
    });
  }
}
