import { TenantKeysController } from './http/tenant-keys.controller.ts';
import { GrantsController } from './http/grants.controller.ts';
import { HostsController } from './http/hosts.controller.ts';

export const controllers = [TenantKeysController, GrantsController, HostsController];
