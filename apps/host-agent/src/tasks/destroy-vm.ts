import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import { removeVm } from './boot-vm.ts';
import { handler, notBelow, notInMove, type Admit, type HandlerContext } from './handler-context.ts';

const admit: Admit = (state, input) => {
  notBelow(state, input);
  if (state) notInMove(state);
};

export const destroyVm = (context: HandlerContext): Handler =>
  handler(hostTasks.destroyVm, admit, async ({ vmId, deleteVolumes }) => {
    await removeVm(context, vmId, deleteVolumes);
    return {};
  });
