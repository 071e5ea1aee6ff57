import { AddressesController } from './addresses.controller.ts';
import { AddressTasks } from './tasks.ts';
import { AddressWorkflowEnds } from './workflow-ends.ts';

export const addressPart = { controllers: [AddressesController], handlers: [AddressTasks, AddressWorkflowEnds] };
