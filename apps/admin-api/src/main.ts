import { APP_INTERCEPTOR } from '@nestjs/core';
import {
  runAsProcess,
  startService,
  type RunningService,
  type ServiceConfig,
  type ServiceContext,
  type ServiceParts,
} from '@chrysalis/service-kit';
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
  return {
    providers: [
      { provide: Wake, useValue: wake },
      { provide: ProgressHub, useValue: progress },
      { provide: ReadModels, useValue: reads },
      { provide: Owners, useValue: new Owners(service, reads) },
      { provide: APP_INTERCEPTOR, useValue: new WholeDocument(new ApiDocument(service)) },
    ],
    background: [() => wake.start(service), () => progress.start(service)],
  };
};

if (import.meta.main) await runAsProcess(start);
