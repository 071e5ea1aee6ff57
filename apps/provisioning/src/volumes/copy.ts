import type { VolumeSource } from '@chrysalis/contracts';
import { ofTenant, type MessageContext } from '@chrysalis/service-kit';
import { decideVolume } from './decide-volume.ts';
import { volumeOf } from './sql.ts';

/** What a volume was made of is anybody's again: told with the end of that, whichever it was, and safe to tell twice. */
export const endCopyOf = async (ctx: MessageContext, from: VolumeSource | undefined, workflowId: string): Promise<void> => {
  if (from?.kind !== 'volume') return;
  const { volumeId } = from;
  const source = await volumeOf(ctx.tx, ctx.store.schema, undefined, volumeId);
  if (!source) return;
  const ended = await decideVolume(ofTenant(ctx, source.tenant), volumeId, { type: 'end-copy', volumeId, workflowId });
  if (!ended.ok) throw new Error(`the copy of ${volumeId} does not end: ${ended.rejection.code}`);
};
