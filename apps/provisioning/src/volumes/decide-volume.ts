import type { VolumeEvent } from '@chrysalis/contracts';
import { volumes } from '@chrysalis/provisioning-core';
import { failpoint, type MessageContext, type StreamRefusal } from '@chrysalis/service-kit';
import { writeVolume } from './sql.ts';

type VolumeDecided =
  | { readonly ok: true; readonly events: readonly VolumeEvent[]; readonly volume: volumes.KnownVolume }
  | { readonly ok: false; readonly rejection: volumes.VolumeRejection | StreamRefusal };

/** The volume's stream decides; the service's own view of it follows in the same transaction. */
export const decideVolume = async (
  ctx: MessageContext,
  volumeId: string,
  command: volumes.VolumeCommand,
  ifVersion?: number,
): Promise<VolumeDecided> => {
  const decided = await ctx.decide(volumeId, volumes.volumeDecider, command, ifVersion === undefined ? {} : { ifVersion });
  if (!decided.ok) return decided;
  const { events, state } = decided;
  if (state.status === 'unknown') return { ok: false, rejection: { code: 'volume.unknown', volumeId } };
  if (events.length > 0) {
    await failpoint('volume:appended', { volume: volumeId, command: command.type });
    await writeVolume(ctx.tx, ctx.store.schema, state);
  }
  return { ok: true, events, volume: state };
};
