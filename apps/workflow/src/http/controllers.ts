import { WorkflowsController } from './workflows.controller.ts';
import { ChangeController } from './change.controller.ts';
import { StartController } from './start.controller.ts';
import { QueueController } from './queue.controller.ts';
import { TemplatesController } from './templates.controller.ts';
import { PoliciesController } from './policies.controller.ts';
import { ExecutorsController } from './executors.controller.ts';
import { AnalysisController } from './analysis.controller.ts';
import { AuditController } from './audit.controller.ts';

export const controllers = [
  WorkflowsController,
  ChangeController,
  StartController,
  QueueController,
  TemplatesController,
  PoliciesController,
  ExecutorsController,
  AnalysisController,
  AuditController,
];
