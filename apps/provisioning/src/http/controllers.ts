import { CatalogueController } from './catalogue.controller.ts';
import { VolumesController } from '../volumes/volumes.controller.ts';
import { VmsController } from './vms.controller.ts';

export const controllers = [CatalogueController, VmsController, VolumesController];
