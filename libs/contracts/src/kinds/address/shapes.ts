import { z } from 'zod';

/** `reserved`: nobody's, and kept. */
export const addressStates = ['reserved', 'bound', 'deleted'] as const;
export const addressActions = ['bind', 'unbind'] as const;
export const AddressAction = z.enum(addressActions);
export type AddressAction = z.infer<typeof AddressAction>;

/** `address-<uuid>`: the id is its stream. */
export const AddressId = z.string().regex(/^address-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
