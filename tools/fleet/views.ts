import { z } from 'zod';

/** A VM as it is seen from inside: everything was read in the guest; a simulated guest's from its model. */
export const Guest = z.object({
  type: z.string(),
  host: z.string(),
  bootId: z.string().regex(/^[0-9a-f-]{36}$/),
  uptimeSeconds: z.number(),
  vcpus: z.int(),
  memoryMiB: z.int(),
  disks: z.array(z.object({ name: z.string(), bytes: z.int() })),
  fileSystemBytes: z.int(),
  nics: z.array(z.string()),
});
export type Guest = z.infer<typeof Guest>;

/** One row of the ledger: what a consumer holds on a host. */
export const Held = z.object({ host: z.string(), consumer: z.string(), vcpu: z.int(), memoryMiB: z.int() });
export type Held = z.infer<typeof Held>;
