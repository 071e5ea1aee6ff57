import { addressHostTasks, addressTasks } from './kinds/address/tasks.ts';
import { volumeHostTasks, volumeTasks } from './kinds/volume/tasks.ts';
import { guestTasks } from './tasks/guest.ts';
import { hostTasks } from './tasks/host.ts';
import { migrationTemplatesTasks } from './tasks/migration-templates.ts';
import { provisioningTasks } from './tasks/provisioning.ts';
import { resourceAllocationTasks } from './tasks/resource-allocation.ts';

export * from './tasks/guest.ts';
export * from './tasks/host.ts';
export * from './tasks/migration-templates.ts';
export * from './tasks/provisioning.ts';
export * from './tasks/resource-allocation.ts';

/** Every task of every executor. Each runs at least once and is idempotent by (workflow, task, action, attempt), and by its own target state. */
export const allTasks = {
  ...resourceAllocationTasks,
  ...provisioningTasks,
  ...volumeTasks,
  ...addressTasks,
  ...migrationTemplatesTasks,
  ...hostTasks,
  ...volumeHostTasks,
  ...addressHostTasks,
  ...guestTasks,
};
