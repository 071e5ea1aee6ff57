import type { VmState } from './vm-state.ts';
import type { VmStates } from './vm-states.ts';

/** As long as the gateway keeps tasks that ended: until then one of them could still come late, and is refused by what is kept here. */
const REMEMBERED_MS = 7 * 24 * 3_600_000;

/**
 * What becomes of the memory of a VM that is not here any more (and of a lane of the host, which never is): it is kept for a week after
 * the last task that came for it. A target's promise never to run a move is kept for ever: its source may still ask, however long it was
 * cut off, and stands still until it is told.
 */
const fateOf = ({ role, move, left }: VmState, now: number): 'stays' | 'begins' | 'ends' => {
  if (role !== 'none' || (move?.side === 'target' && move.phase === 'never')) return 'stays';
  if (left === undefined) return 'begins';
  return now - Date.parse(left) > REMEMBERED_MS ? 'ends' : 'stays';
};

/** `now`: the control plane's, so that no host's clock ends a memory early. A task that comes meanwhile begins the week anew. */
export const forgetLongGone = async (states: VmStates, now: number): Promise<void> => {
  for (const { vmId } of states.all().filter((s) => fateOf(s, now) === 'begins'))
    await states.update(vmId, (s) => (s && fateOf(s, now) === 'begins' ? { ...s, left: new Date(now).toISOString() } : undefined));
  for (const { vmId } of states.all().filter((s) => fateOf(s, now) === 'ends')) await states.forget(vmId, (s) => fateOf(s, now) === 'ends');
};
