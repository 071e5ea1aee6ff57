import { hostTasks } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import { asRunner, handler, timeLeft, type Parts } from './handler-context.ts';

/** Done when the hypervisor shows it; what is there already is done. */
export const plug = (parts: Parts): Handler =>
  handler(hostTasks.plug, asRunner, ({ vmId, device }) => parts.driver.plug(vmId, device), 'hardware');

/** Done when the guest let go. */
export const unplug = (parts: Parts): Handler =>
  handler(hostTasks.unplug, asRunner, ({ vmId, device }, run) => parts.driver.unplug(vmId, device, timeLeft(run, parts.now())));

export const resizeDisk = (parts: Parts): Handler =>
  handler(hostTasks.resizeDisk, asRunner, ({ vmId, disk, sizeMiB }) => parts.driver.resizeDisk(vmId, disk, sizeMiB), 'hardware');
