import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { every, runAsProcess, startService, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { controllers } from './http/controllers.ts';
import { IMAGE_FILES } from './http/image-files.controller.ts';
import { ImageFiles } from './images/files.ts';
import { removeFiles } from './images/remove.ts';
import { ImageImports } from './images/imports.ts';
import { kindHandlers } from './kinds.ts';
import { Restarts } from './restart/restarts.ts';
import { Sightings } from './restart/sightings.ts';
import { imageDigests } from './sql/catalogue.ts';
import { JudgeTraces } from './traces/judge-traces.ts';
import { VmTasks } from './tasks/vm-tasks.ts';
import { WorkflowEnds } from './workflow-ends.ts';

/** A start waits for 10 s at least: this is no part of what is felt. */
const LOOK_EVERY_MS = 500;
const SWEEP_EVERY_MS = 600_000;
const GO_EVERY_MS = 1_000;

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'provisioning',
    schema: 'provisioning',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    handlers: [VmTasks, JudgeTraces, WorkflowEnds, Sightings, ...kindHandlers],
    parts: (service) => {
      const restarts = new Restarts(service);
      const files = service.config.images && new ImageFiles(service.config.images);
      return {
        providers: [{ provide: IMAGE_FILES, useValue: files && { files, imports: new ImageImports(files) } }],
        background: [
          async () => every(LOOK_EVERY_MS, service.log, () => restarts.look()),
          async () => every(GO_EVERY_MS, service.log, async () => void (files && (await removeFiles(service, files)))),
          async () => every(SWEEP_EVERY_MS, service.log, async () => void (await files?.sweep(await imageDigests(service), Date.now()))),
        ],
      };
    },
  });

if (import.meta.main) await runAsProcess(start);
