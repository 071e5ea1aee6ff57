import { volumeEvents as e } from '@chrysalis/contracts';
import { merge, on, type Handler } from '../projection.ts';

/** `state`: creating, available, deleting, deleted or failed. */
export const volumes: readonly Handler[] = [
  on(e.volumeRequested, ({ request, ...d }) => [merge('volumes', d.volumeId, { ...d, state: 'creating', operation: request.workflowId })]),
  on(e.volumeCreated, (d) => [merge('volumes', d.volumeId, { state: 'available', hostId: d.hostId })]),
  on(e.volumeCreationFailed, (d) => [merge('volumes', d.volumeId, { state: 'failed', cause: d.cause })]),
  on(e.volumeDeletionRequested, (d) => [
    merge('volumes', d.volumeId, (before) => ({ state: 'deleting', stateBefore: before['state'], operation: d.request.workflowId })),
  ]),
  on(e.volumeDeletionFailed, (d) => [
    merge('volumes', d.volumeId, (before) => ({ state: before['stateBefore'], stateBefore: undefined, cause: d.cause })),
  ]),
  on(e.volumeDeleted, (d) => [merge('volumes', d.volumeId, { state: 'deleted', stateBefore: undefined, cause: undefined })]),
];
