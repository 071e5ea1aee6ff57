import { FleetController } from './routes/fleet.ts';
import { MigrationsController } from './routes/migrations.ts';
import { LogsController } from './routes/logs.ts';
import { WorkflowsController } from './routes/workflows.ts';
import { WorkflowFrontController } from './routes/workflow-front.ts';
import { ExecutorsController } from './routes/executors.ts';
import { OperationsController } from './routes/operations.ts';
import { StreamsController } from './routes/streams.ts';
import { CommandsController } from './routes/commands.ts';
import { DeadLettersController } from './routes/dead-letters.ts';
import { RelayAuditsController } from './routes/relay-audits.ts';
import { DocumentsController } from './routes/documents.ts';

export const controllers = [
  FleetController,
  MigrationsController,
  LogsController,
  WorkflowsController,
  WorkflowFrontController,
  ExecutorsController,
  OperationsController,
  StreamsController,
  CommandsController,
  DeadLettersController,
  RelayAuditsController,
  DocumentsController,
];
