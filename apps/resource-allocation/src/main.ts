import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { runAsProcess, startService, sweep, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { hostAgents } from './agents.ts';
import { FleetView } from './fleet-view.ts';
import { HostsController } from './http/hosts.controller.ts';
import { PlacementsController } from './http/placements.controller.ts';
import { forgetReleases } from './sql/ledger.ts';
import { owners } from './owners.ts';
import { auditHoldsTask } from './tasks/audit-holds.ts';
import { listOnHostTask } from './tasks/list-on-host.ts';
import { placeTask } from './tasks/place.ts';
import { releaseTask } from './tasks/release.ts';
import { swapTask } from './tasks/swap.ts';

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'resource-allocation',
    schema: 'resource_allocation',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers: [HostsController, PlacementsController],
    tasks: [placeTask, releaseTask, swapTask, listOnHostTask, auditHoldsTask],
    consumers: [hostAgents, owners],
    background: [
      async (service) => sweep(service, 'released', () => forgetReleases(service.pool, service.schema)),
      async ({ store, pool }) => {
        await FleetView.of(store).hosts(pool); // folds the log now rather than in the first placement
        return async () => undefined;
      },
    ],
  });

if (import.meta.main) await runAsProcess(start);
