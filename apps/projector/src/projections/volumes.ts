import { refText, volumeEvents as e, type VolumeAction, type VolumeSource } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler } from '../projection.ts';

const begun = (volumeId: string, action: VolumeAction, operation: string): Change =>
  merge('volumes', volumeId, { action: { action, operation }, operation, cause: undefined });
const ended = (volumeId: string, members: Document): Change => merge('volumes', volumeId, { action: undefined, ...members });

const fromText = (from: VolumeSource): Document => (from.kind === 'image' ? { image: refText(from.image) } : { volumeId: from.volumeId });

/** `state`: creating, available, attached, deleting, deleted or failed. */
export const volumes: readonly Handler[] = [
  on(e.volumeRequested, ({ request, from, ...d }) => [
    merge('volumes', d.volumeId, { ...d, ...(from ? { from: fromText(from) } : {}), state: 'creating', operation: request.workflowId }),
  ]),
  on(e.volumeCreated, (d) => [merge('volumes', d.volumeId, { state: 'available', hostId: d.hostId, poolId: d.poolId })]),
  on(e.volumeCopyBegun, (d) => [merge('volumes', d.volumeId, { action: { action: 'copy', operation: d.workflowId } })]),
  on(e.volumeCopyEnded, (d) => [ended(d.volumeId, {})]),
  on(e.volumeCreationFailed, (d) => [merge('volumes', d.volumeId, { state: 'failed', cause: d.cause })]),
  on(e.volumeAttachRequested, (d) => [begun(d.volumeId, 'attach', d.request.workflowId)]),
  on(e.volumeAttached, (d) => [ended(d.volumeId, { state: 'attached', vmId: d.vmId, seen: d.seen ?? false })]),
  on(e.volumeDetachRequested, (d) => [begun(d.volumeId, 'detach', d.request.workflowId)]),
  on(e.volumeDetached, (d) => [ended(d.volumeId, { state: 'available', vmId: undefined, seen: undefined })]),
  on(e.volumeGrowRequested, (d) => [begun(d.volumeId, 'grow', d.request.workflowId)]),
  on(e.volumeGrown, (d) => [ended(d.volumeId, { sizeMiB: d.sizeMiB, ...(d.seen ? { seen: true } : {}) })]),
  on(e.volumeActionFailed, (d) => [
    ended(d.volumeId, { cause: d.cause, ...(d.left ? { state: 'attached', vmId: d.vmId, seen: false } : {}) }),
  ]),
  on(e.volumeDeletionRequested, (d) => [
    merge('volumes', d.volumeId, (before) => ({ state: 'deleting', stateBefore: before['state'], operation: d.request.workflowId })),
  ]),
  on(e.volumeDeletionFailed, (d) => [
    merge('volumes', d.volumeId, (before) => ({ state: before['stateBefore'], stateBefore: undefined, cause: d.cause })),
  ]),
  on(e.volumeDeleted, (d) => [merge('volumes', d.volumeId, { state: 'deleted', stateBefore: undefined, cause: undefined })]),
];
