import { ofTenant, type MessageContext } from '@chrysalis/service-kit';
import { decideVolume } from './decide-volume.ts';
import { deletion } from './requests.ts';
import { volumesOfVm } from './sql.ts';

/** In the commit that ends their VM: its volumes are anybody's again, or, where that was asked for, each is deleted by a workflow of its own. */
export const leaveVolumes = async (ctx: MessageContext, vmId: string, andDelete: boolean): Promise<void> => {
  for (const { volumeId, tenant } of await volumesOfVm(ctx.tx, ctx.store.schema, vmId)) {
    const of = ofTenant(ctx, tenant);
    const left = await decideVolume(of, volumeId, { type: 'leave-vm', volumeId, vmId });
    if (!left.ok) throw new Error(`${volumeId} does not leave ${vmId}: ${left.rejection.code}`);
    if (!andDelete) continue;
    const request = deletion(left.volume, ctx.newId('op'));
    const going = await decideVolume(of, volumeId, { type: 'request-deletion', volumeId, request });
    if (!going.ok) throw new Error(`${volumeId} is not deleted with ${vmId}: ${going.rejection.code}`);
  }
};
