import { VolumeTasks } from './tasks.ts';
import { VolumesController } from './volumes.controller.ts';
import { VolumeWorkflowEnds } from './workflow-ends.ts';

export const volumePart = { controllers: [VolumesController], handlers: [VolumeTasks, VolumeWorkflowEnds] };
