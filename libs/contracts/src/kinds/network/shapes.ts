import { z } from 'zod';

export const networkStates = ['active', 'deleted'] as const;

/** `network-<uuid>`: the id is its stream, and the name of its NIC in each VM that is on it. */
const ID = /^network-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const NetworkId = z.string().regex(ID);
/** Whether a NIC's network is a resource of its own, and not one that hosts are connected to. */
export const isNetworkId = (network: string): boolean => ID.test(network);
