import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../executor.ts';
import { TaskFailure } from '../move/deps.ts';
import { removeVm } from './boot-vm.ts';
import { handler, notBelow, type Admit, type Parts } from './parts.ts';

/** Not in the middle of a move: there the other end may depend on what is here. */
const admit: Admit = (state, input) => {
  notBelow(state, input);
  const { move } = state ?? {};
  const moving =
    move?.side === 'source'
      ? move.phase === 'transferring' || move.phase === 'fenced'
      : move?.phase === 'preparing' || move?.phase === 'waiting';
  if (moving) throw new TaskFailure('host.vm_in_move', `${input.vmId} is in move ${move!.moveId}`, true);
};

export const destroyVm = (parts: Parts): Handler =>
  handler(hostTasks.destroyVm, admit, async ({ vmId, deleteVolumes }) => {
    await removeVm(parts, vmId, deleteVolumes);
    return {};
  });
