import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { runAsProcess, startService, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { AwaitApproval, startApprovalRounds } from './approvals/approvals.ts';
import { controllers } from './http/controllers.ts';
import { KnownAgents } from './known/agents.ts';
import { KnownGrants } from './known/grants.ts';
import { KnownHosts } from './known/hosts.ts';
import { KnownPools } from './known/pools.ts';
import { KnownObserved } from './known/observed.ts';
import { KnownVms } from './known/vms.ts';
import { Moves } from './moves/moves-consumer.ts';
import { startSetRounds } from './moves/set-rounds.ts';
import { startRounds } from './runs/rounds.ts';
import { RunTask } from './runs/run-task.ts';
import { PlanningTasks } from './tasks.ts';

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'migration-templates',
    schema: 'migration_templates',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers,
    handlers: [PlanningTasks, RunTask, AwaitApproval, KnownVms, KnownObserved, KnownHosts, KnownPools, KnownAgents, KnownGrants, Moves],
    parts: (service) => ({
      background: [async () => startRounds(service), async () => startSetRounds(service), async () => startApprovalRounds(service)],
    }),
  });

if (import.meta.main) await runAsProcess(start);
