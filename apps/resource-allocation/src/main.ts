import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { runAsProcess, startService, sweep, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { controllers } from './http/controllers.ts';
import { HostAgents } from './agents.ts';
import { FleetView } from './fleet-view.ts';
import { forgetReleases } from './sql/ledger.ts';
import { Owners } from './owners.ts';
import { AuditHolds } from './tasks/audit-holds.ts';
import { FindHost } from './tasks/find-host.ts';
import { HoldRoom } from './tasks/hold-room.ts';
import { ListOnHost } from './tasks/list-on-host.ts';
import { Place } from './tasks/place.ts';
import { Release } from './tasks/release.ts';
import { Swap } from './tasks/swap.ts';

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'resource-allocation',
    schema: 'resource_allocation',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    handlers: [Place, FindHost, HoldRoom, Release, Swap, ListOnHost, AuditHolds, HostAgents, Owners],
    parts: (service) => ({
      background: [
        async () => sweep(service, 'released', () => forgetReleases(service.pool, service.schema)),
        async () => {
          await FleetView.of(service.store).hosts(service.pool); // folds the log now rather than in the first placement
          return async () => undefined;
        },
      ],
    }),
  });

if (import.meta.main) await runAsProcess(start);
