import { APP_INTERCEPTOR } from '@nestjs/core';
import { runAsProcess, SERVICE, startService, type RunningService, type ServiceConfig, type ServiceContext } from '@chrysalis/service-kit';
import { controllers } from './routes/controllers.ts';
import { ApiDocument } from './openapi.ts';
import { Owners } from './owners.ts';
import { ProgressHub } from './progress.ts';
import { ReadModels } from './reads/read-models.ts';
import { Wake } from './reads/wake.ts';
import { WholeDocument } from './routes/documents.ts';

/** The one door: reads from the read models, commands to their owners, streams of what happens. Any number may run. */
export const start = (config: ServiceConfig): Promise<RunningService> => {
  const wake = new Wake();
  const progress = new ProgressHub();
  return startService(config, {
    context: 'admin-api',
    schema: 'admin_api',
    controllers,
    providers: [
      { provide: Wake, useValue: wake },
      { provide: ProgressHub, useValue: progress },
      { provide: ReadModels, inject: [SERVICE], useFactory: (s: ServiceContext) => new ReadModels(s.pool, wake) },
      { provide: Owners, inject: [SERVICE, ReadModels], useFactory: (s: ServiceContext, reads: ReadModels) => new Owners(s, reads) },
      { provide: APP_INTERCEPTOR, inject: [SERVICE], useFactory: (s: ServiceContext) => new WholeDocument(new ApiDocument(s)) },
    ],
    background: [(service) => wake.start(service), (service) => progress.start(service)],
  });
};

if (import.meta.main) await runAsProcess(start);
