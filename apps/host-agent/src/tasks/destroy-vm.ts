import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import { removeVm } from './boot-vm.ts';
import { handler, notBelow, notInMove, type Admit, type Parts } from './handler-context.ts';

const admit: Admit = (state, input) => {
  notBelow(state, input);
  if (state) notInMove(state);
};

export const destroyVm = (parts: Parts): Handler =>
  handler(hostTasks.destroyVm, admit, async ({ vmId, deleteVolumes }) => {
    await removeVm(parts, vmId, deleteVolumes);
    return {};
  });
