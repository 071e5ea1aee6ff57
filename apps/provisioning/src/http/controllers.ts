import { CatalogueController } from './catalogue.controller.ts';
import { kindControllers } from '../kinds.ts';
import { VmsController } from './vms.controller.ts';

export const controllers = [CatalogueController, VmsController, ...kindControllers];
