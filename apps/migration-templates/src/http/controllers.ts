import { OptionsQueriesController } from './options-queries.controller.ts';
import { TemplateEditorController } from './template-editor.controller.ts';
import { TemplatesController } from './templates.controller.ts';
import { PlansController } from './plans.controller.ts';
import { MigrationsController } from './migrations.controller.ts';

export const controllers = [OptionsQueriesController, TemplateEditorController, TemplatesController, PlansController, MigrationsController];
