import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import { asRunner, handler, timeLeft, type HandlerContext } from './handler-context.ts';

/** Done when the hypervisor shows it; what is there already is done. */
export const plug = (context: HandlerContext): Handler =>
  handler(hostTasks.plug, asRunner, ({ vmId, device }) => context.driver.plug(vmId, device), 'hardware');

/** Done when the guest let go. */
export const unplug = (context: HandlerContext): Handler =>
  handler(hostTasks.unplug, asRunner, ({ vmId, device }, run) => context.driver.unplug(vmId, device, timeLeft(run, context.now())));

export const resizeDisk = (context: HandlerContext): Handler =>
  handler(hostTasks.resizeDisk, asRunner, ({ vmId, disk, sizeMiB }) => context.driver.resizeDisk(vmId, disk, sizeMiB), 'hardware');
