import { kindControllers } from '../kinds.ts';
import { CatalogueController } from './catalogue.controller.ts';
import { ImageFilesController } from './image-files.controller.ts';
import { VmsController } from './vms.controller.ts';

export const controllers = [CatalogueController, ImageFilesController, VmsController, ...kindControllers];
