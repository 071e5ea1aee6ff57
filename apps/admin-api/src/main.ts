import type { Server } from 'node:http';
import { APP_INTERCEPTOR } from '@nestjs/core';
import {
  onlySocketRoute,
  runAsProcess,
  socketRoute,
  startService,
  type RunningService,
  type ServiceConfig,
  type ServiceContext,
  type ServiceParts,
} from '@chrysalis/service-kit';
import { consoleSocket } from './routes/consoles.ts';
import { controllers } from './routes/controllers.ts';
import { ApiDocument } from './openapi.ts';
import { Owners } from './owners.ts';
import { ProgressHub } from './progress.ts';
import { ReadModels } from './reads/read-models.ts';
import { Wake } from './reads/wake.ts';
import { WholeDocument } from './routes/documents.ts';

/** The one door: reads from the read models, commands to their owners, streams of what happens. Any number may run. */
export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, { context: 'admin-api', schema: 'admin_api', controllers, parts });

const parts = (service: ServiceContext): ServiceParts => {
  const wake = new Wake();
  const progress = new ProgressHub();
  const reads = new ReadModels(service.pool, wake);
  const owners = new Owners(service, reads);
  return {
    providers: [
      { provide: Wake, useValue: wake },
      { provide: ProgressHub, useValue: progress },
      { provide: ReadModels, useValue: reads },
      { provide: Owners, useValue: owners },
      { provide: APP_INTERCEPTOR, useValue: new WholeDocument(new ApiDocument(service)) },
    ],
    background: [() => wake.start(service), () => progress.start(service), (server) => consoles(service, owners, server)],
  };
};

const consoles = async (service: ServiceContext, owners: Owners, server: Server): Promise<() => Promise<void>> => {
  const console = socketRoute(service, consoleSocket(owners));
  onlySocketRoute(server, console);
  return async () => console.close();
};

if (import.meta.main) await runAsProcess(start);
