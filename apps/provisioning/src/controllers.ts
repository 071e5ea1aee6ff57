import { CatalogueController } from './http/catalogue.controller.ts';
import { VmsController } from './http/vms.controller.ts';

export const controllers = [CatalogueController, VmsController];
