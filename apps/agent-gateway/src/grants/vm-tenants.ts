import { FLEET_TENANT, provisioningEvents, type Cause, type DataOf, type TaskDispatch } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { keepTenant, tenantOfVm } from '../sql/vm-tenants.ts';

const { vmRequested } = provisioningEvents;

/** Whose VMs are, from their requests on. */
@Consumer('known-vms', { view: true })
export class KnownVms {
  @OnEvent(vmRequested)
  async vmRequested({ vmId, tenant }: DataOf<typeof vmRequested>, { tx }: EventContext): Promise<void> {
    await keepTenant(tx, vmId, tenant);
  }
}

/**
 * A tenant's workflow touches no other tenant's VM, whatever VM its params name; the fleet's own may touch any. A VM that nobody has
 * told of passes: its own boot may be here before the word of its request.
 */
export const foreignVm = async (dispatch: TaskDispatch, db: Queryable): Promise<Cause | undefined> => {
  const { vmId } = dispatch.input;
  if (typeof vmId !== 'string' || dispatch.tenant === FLEET_TENANT) return undefined;
  const owner = await tenantOfVm(db, vmId);
  if (owner === undefined || owner === dispatch.tenant) return undefined;
  return { code: 'vm.foreign_tenant', message: `tenant ${dispatch.tenant} has no VM ${vmId}`, retriable: false };
};

const KEPT = 10_000;
/** For samples that come many times a second: each VM is looked up once. */
export class VmTenants {
  readonly #known = new Map<string, string>();

  constructor(private readonly db: Queryable) {}

  async of(vmId: string): Promise<string> {
    const known = this.#known.get(vmId) ?? (await tenantOfVm(this.db, vmId));
    if (known === undefined) return FLEET_TENANT; // nobody's yet: nobody but the fleet sees it
    if (this.#known.size >= KEPT) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(vmId, known);
    return known;
  }
}
