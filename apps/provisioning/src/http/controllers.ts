import { kindControllers } from '../kinds.ts';
import { CatalogueController } from './catalogue.controller.ts';
import { ImageFilesController } from './image-files.controller.ts';
import { VmFilterController } from './vm-filter.controller.ts';
import { VmNicsController } from './vm-nics.controller.ts';
import { VmsController } from './vms.controller.ts';

export const controllers = [
  CatalogueController,
  ImageFilesController,
  VmFilterController,
  VmNicsController,
  VmsController,
  ...kindControllers,
];
