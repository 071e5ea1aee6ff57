import { NetworksController } from './networks.controller.ts';

export const networkPart = { controllers: [NetworksController], handlers: [] };
