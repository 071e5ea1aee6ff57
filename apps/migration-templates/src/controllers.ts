import { OptionsQueriesController } from './http/options-queries.controller.ts';
import { TemplatesController } from './http/templates.controller.ts';
import { PlansController } from './http/plans.controller.ts';
import { MigrationsController } from './http/migrations.controller.ts';

export const controllers = [OptionsQueriesController, TemplatesController, PlansController, MigrationsController];
