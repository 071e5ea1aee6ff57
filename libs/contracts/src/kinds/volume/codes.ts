import type { CodeEntries } from '../../codes/entry.ts';

/** Refusals of provisioning about volumes; what hypervisors say of their files is theirs. */
export const volumeCodes = {
  'volume.unknown': { status: 404, title: 'There is no such volume', next: 'chrysalis volume list' },
  'volume.conflict': { status: 409, title: 'The volume was requested as something else', next: 'give the new volume another id' },
  'volume.not_ready': {
    status: 409,
    title: 'The volume is not in a state in which this can be done',
    next: [
      'where an operation of it goes on, wait for its end or cancel it: chrysalis operation list --subject {volumeId}',
      'one that failed can be deleted alone: chrysalis volume delete {volumeId}',
      'chrysalis volume list shows how each stands',
    ],
  },
  'volume.in_action': {
    status: 409,
    title: 'The volume is being attached, detached, grown or copied',
    next: 'wait for the end of that: chrysalis operation wait {operation}',
  },
  'volume.attached': { status: 409, title: 'A VM has the volume', next: 'detach it from {vmId} first: chrysalis volume detach {volumeId}' },
  'volume.not_attached': { status: 409, title: 'No VM has the volume', next: 'nothing is left to do' },
  'volume.shrink_refused': { status: 409, title: 'Volumes only grow', next: 'ask for a size that is not smaller' },
  'volume.not_on_host': {
    status: 409,
    title: 'The volume is in a pool that only its own host sees, and the VM is on another',
    next: 'attach it to a VM on {hostId}',
  },
  'volume.creation_undone': { title: 'The volume was taken back before it was there', next: 'create it again' },
  'volume.size_missing': {
    status: 422,
    title: 'A blank volume has the size that is asked for',
    next: 'say sizeMiB, or what it is made of',
  },
  'volume.source_larger': {
    status: 422,
    title: 'What the volume is to be made of is larger than it',
    next: 'ask for {sourceMiB} MiB at least',
  },
  'volume.no_port': {
    status: 409,
    title: 'The VM has no port left for another disk',
    next: 'detach a volume from it first: chrysalis volume list --vm {vmId}',
  },
  'volume.tenant_invalid': { status: 422, title: 'A volume is a tenant’s', next: 'ask with a token of the tenant' },
} as const satisfies CodeEntries;
