import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';
import { runAsProcess, startService, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { MigrationsController } from './http/migrations.controller.ts';
import { OptionsQueriesController } from './http/options-queries.controller.ts';
import { PlansController } from './http/plans.controller.ts';
import { TemplatesController } from './http/templates.controller.ts';
import { knownAgentsConsumer } from './known/agents.ts';
import { knownGrantsConsumer } from './known/grants.ts';
import { knownHostsConsumer } from './known/hosts.ts';
import { knownObservedConsumer } from './known/observed.ts';
import { knownVmsConsumer } from './known/vms.ts';
import { startRounds } from './runs/rounds.ts';
import { movesConsumer } from './moves-consumer.ts';
import { taskHandlers } from './tasks.ts';

export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'migration-templates',
    schema: 'migration_templates',
    migrations: migrationsIn(path.join(import.meta.dirname, 'migrations')),
    controllers: [OptionsQueriesController, TemplatesController, PlansController, MigrationsController],
    tasks: taskHandlers,
    consumers: [knownVmsConsumer, knownObservedConsumer, knownHostsConsumer, knownAgentsConsumer, knownGrantsConsumer, movesConsumer],
    background: [async (service) => startRounds(service)],
  });

if (import.meta.main) await runAsProcess(start);
