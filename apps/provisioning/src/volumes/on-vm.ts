import { volumeChanges } from '@chrysalis/contracts';

/** Whether a workflow of this name is done to the volume of a VM. */
export const isChange = (name: string): boolean => (volumeChanges as readonly string[]).includes(name);
