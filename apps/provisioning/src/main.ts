import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { runAsProcess, startService, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { controllers } from './http/controllers.ts';
import { VmTasks } from './tasks/vm-tasks.ts';
import { WorkflowEnds } from './workflow-ends.ts';

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'provisioning',
    schema: 'provisioning',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    handlers: [VmTasks, WorkflowEnds],
  });

if (import.meta.main) await runAsProcess(start);
