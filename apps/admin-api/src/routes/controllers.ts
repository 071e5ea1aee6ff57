import { FleetController } from './fleet.ts';
import { MigrationsController } from './migrations.ts';
import { LogsController } from './logs.ts';
import { WorkflowsController } from './workflows.ts';
import { WorkflowFrontController } from './workflow-front.ts';
import { ExecutorsController } from './executors.ts';
import { OperationsController } from './operations.ts';
import { StreamsController } from './streams.ts';
import { ConsolesController } from './consoles.ts';
import { CommandsController } from './commands.ts';
import { DeadLettersController } from './dead-letters.ts';
import { RelayAuditsController } from './relay-audits.ts';
import { DocumentsController } from './documents.ts';
import { PoolsController } from './pools.ts';
import { kindControllers } from './kinds.ts';

export const controllers = [
  FleetController,
  PoolsController,
  ...kindControllers,
  MigrationsController,
  LogsController,
  WorkflowsController,
  WorkflowFrontController,
  ExecutorsController,
  OperationsController,
  StreamsController,
  CommandsController,
  ConsolesController,
  DeadLettersController,
  RelayAuditsController,
  DocumentsController,
];
