import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { every, runAsProcess, startService, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { controllers } from './http/controllers.ts';
import { kindHandlers } from './kinds.ts';
import { Restarts } from './restart/restarts.ts';
import { Sightings } from './restart/sightings.ts';
import { VmTasks } from './tasks/vm-tasks.ts';
import { WorkflowEnds } from './workflow-ends.ts';

/** A start waits for 10 s at least: this is no part of what is felt. */
const LOOK_EVERY_MS = 500;

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'provisioning',
    schema: 'provisioning',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    handlers: [VmTasks, WorkflowEnds, Sightings, ...kindHandlers],
    parts: (service) => {
      const restarts = new Restarts(service);
      return { background: [async () => every(LOOK_EVERY_MS, service.log, () => restarts.look())] };
    },
  });

if (import.meta.main) await runAsProcess(start);
