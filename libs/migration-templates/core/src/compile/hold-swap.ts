import { resourceAllocationTasks } from '@chrysalis/contracts';
import { amountsAfter, roomOf } from '@chrysalis/placement';
import type { MoveContext } from './context.ts';
import { onService } from './task-list.ts';
import { retries } from './timings.ts';

/** The move's hold becomes the VM's: where it moved as soon as the source is gone, where it stays at the end. */
export const swapHolds = ({ input, tasks, moves, runner, shape }: MoveContext, after: readonly string[]): string =>
  tasks.add(resourceAllocationTasks.swap, {
    name: 'swap-holds',
    summary: "The move's hold becomes the VM's",
    section: moves ? 'migration' : 'verify',
    route: onService('resource-allocation'),
    after,
    retry: retries.forward,
    input: {
      moveId: input.moveId,
      vmId: input.vm.vmId,
      fromHost: input.vm.hostId,
      toHost: runner.hostId,
      amounts: amountsAfter(shape.moved, input.target.spec),
      room: roomOf(shape.moved, input.target.spec),
    },
    // A morph may be undone up to here; a disk that was grown has closed that way before.
    ...(moves || shape.growths.length > 0 ? {} : { pointOfNoReturn: true }),
  });
