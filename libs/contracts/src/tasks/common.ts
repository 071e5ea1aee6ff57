import { z } from 'zod';
import { Id, Positive, Sha256, Topology } from '../shapes.ts';

export const none = z.object({});
/** What every command to a host names: the VM, its epoch; the fencing token comes with the dispatch. */
export const onVm = { vmId: Id, epoch: Positive };
export const shaped = z.object({ topology: Topology, topologyHash: Sha256 });
