import { ConsolesController } from './consoles.controller.ts';
import { TenantKeysController } from './tenant-keys.controller.ts';
import { GrantsController } from './grants.controller.ts';
import { HostsController } from './hosts.controller.ts';

export const controllers = [TenantKeysController, GrantsController, HostsController, ConsolesController];
