import { hasCode, type GuestReading, type HypervisorDriver } from '@chrysalis/hypervisor';

export type Seen = {
  readonly state: string;
  readonly running: boolean;
  readonly migrating: boolean;
  readonly lastWords?: string;
  /** What the guest was seen to do by itself. */
  readonly observed?: GuestReading;
};

/** What the hypervisor shows of a VM. `unclear` is no answer: nothing may be concluded from it, least of all that the VM is gone. */
export const look = async (driver: HypervisorDriver, vmId: string): Promise<Seen | 'unclear'> => {
  try {
    return await driver.status(vmId);
  } catch (error) {
    return hasCode(error, 'hypervisor.vm_unknown') ? { state: 'gone', running: false, migrating: false } : 'unclear';
  }
};
