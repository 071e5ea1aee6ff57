import type { CodeEntries } from '../../codes/entry.ts';

/** Refusals of provisioning about volumes; what hypervisors say of their files is theirs. */
export const volumeCodes = {
  'volume.unknown': { status: 404, title: 'There is no such volume', next: 'chrysalis volume list' },
  'volume.conflict': { status: 409, title: 'The volume was requested as something else', next: 'give the new volume another id' },
  'volume.not_ready': {
    status: 409,
    title: 'The volume is not in a state in which this can be done',
    next: [
      'wait until its operation has ended, or cancel it: chrysalis operation list --subject {volumeId}',
      'chrysalis volume list shows how each stands',
    ],
  },
  'volume.creation_undone': { title: 'The volume was taken back before it was there', next: 'create it again' },
  'volume.tenant_invalid': { status: 422, title: 'A volume is a tenant’s', next: 'ask with a token of the tenant' },
} as const satisfies CodeEntries;
