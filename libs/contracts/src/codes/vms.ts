import type { CodeEntries } from './entry.ts';

/** VMs, their types and images: refusals of provisioning, and what is seen of a guest. */
export const vmsCodes = {
  'vm.unknown': { status: 404, title: 'There is no such VM', next: 'chrysalis vm list' },
  'vm.conflict': { status: 409, title: 'The VM was requested as something else', next: 'give the new VM another id' },
  'vm.not_ready': {
    status: 409,
    title: 'The VM is not in a state in which this can be done',
    next: [
      'wait until its operation has ended, or cancel it: chrysalis operation list --subject {vmId}',
      'chrysalis vm list shows how each stands',
    ],
  },
  'vm.in_move': {
    status: 409,
    title: 'The VM is in a move',
    next: [
      'chrysalis vm get {vmId} shows the move that has it, how it stands, and what takes it on',
      'chrysalis migration list shows what runs: wait for its end, or cancel it',
    ],
  },
  'vm.in_action': {
    status: 409,
    title: 'The VM is being started, stopped, restarted, paused or continued',
    next: 'wait for the end of that: chrysalis operation wait {operation}',
  },
  'vm.action_not_possible': {
    status: 409,
    title: 'As the VM is, or is meant to be, this cannot be done with it',
    next: ['chrysalis {instead}', 'chrysalis vm get {vmId} shows how the VM is, and is meant to be'],
  },
  'vm.halted': {
    status: 409,
    title: 'The VM is stopped or paused, as it was asked to be, and is moved only while it runs',
    next: 'chrysalis vm start {vmId}, or of a paused one chrysalis vm resume {vmId}',
  },
  'vm.not_in_move': {
    status: 409,
    title: 'The VM is not in this move',
    next: 'chrysalis vm get {vmId} shows the move that has it, if any',
  },
  'vm.move_ended': { status: 409, title: 'This move of the VM has ended', next: 'nothing is left to do' },
  'vm.version_outdated': {
    status: 409,
    title: 'The VM has changed since the move was planned',
    next: 'make a new plan: chrysalis plan create',
  },
  'vm.not_on_host': { status: 409, title: 'The VM is not on this host', next: 'make a new plan: chrysalis plan create' },
  'vm.type_mismatch': { status: 409, title: 'The VM is not of this type', next: 'make a new plan: chrysalis plan create' },
  'vm.epoch_stale': { status: 409, title: 'The VM is at another epoch', next: 'nothing: the VM has moved on since' },
  'vm.topology_mismatch': {
    status: 409,
    title: 'The topology does not have the hash that came with it',
    next: 'read the VM’s topology again',
  },
  'vm.foreign_tenant': { title: 'The VM is of another tenant', next: 'ask as the tenant whose VM it is' },
  'vm.tenant_invalid': { status: 422, title: 'A VM is a tenant’s', next: 'ask with a token of the tenant' },
  'vm.no_headroom': { title: 'The VM was not made for so much', next: 'restart it with more headroom' },
  'vm.deleting': { title: 'The VM is being deleted', next: 'wait until it is gone' },
  'vm.not_running': { title: 'The VM does not run', next: 'wait until it runs' },
  'vm.provisioning_undone': { title: 'The VM was taken back before it was there', next: 'create it again' },
  'vm.reset': { title: 'The guest was restarted', next: 'nothing: it runs' },
  'vm.resumed': { title: 'The guest’s CPUs run again', next: 'nothing: it runs' },
  'vm.stopped': { title: 'The guest’s CPUs were stopped on its host', next: 'continue it on its host (QMP `cont`)' },
  'vm.suspended': { title: 'The guest suspended itself', next: 'wake it on its host (QMP `system_wakeup`)' },
  'vm.paused': { title: 'The guest is stopped on its host', next: 'continue it on its host (QMP `cont`)' },
  'vm.shut_down': {
    title: 'The guest powered itself off',
    next: 'start it again: chrysalis vm start {vmId}; or delete it',
  },
  'vm.off_as_told': { title: 'The VM was stopped, as it was asked to be', next: 'nothing, until it is to run again' },
  'vm.panicked': { title: 'The guest panicked', next: 'see its console; reset it on its host, or delete it' },
  'vm.io_error': {
    title: 'The guest stands still at a disk',
    next: 'make room where its volumes are, then continue it on its host (QMP `cont`)',
  },
  'vm.internal_error': { title: 'The guest cannot go on', next: 'see what its hypervisor says; reset it on its host, or delete it' },
  'vm.gone': {
    title: 'The guest has no process any more',
    next: 'start it again: chrysalis vm start {vmId}; or delete it',
  },
  'vm.unseen': { title: 'The guest is not seen', next: 'see why its hypervisor does not answer on that host' },
  'vm-type.unknown': { status: 404, title: 'There is no such VM type', next: 'chrysalis type list' },
  'vm-type.invalid': { status: 422, title: 'The VM type has faults', next: 'mend what `detail` names, and publish it again' },
  'vm-type.deprecated': { status: 409, title: 'The VM type is deprecated', next: 'take the type that replaces it' },
  'vm-type.in_use': { title: 'VMs still have this type', next: 'move them to another type first' },
  'image.unknown': { status: 404, title: 'There is no such image', next: 'chrysalis image list' },
  'image.conflict': { status: 409, title: 'The image is registered with another content', next: 'give the new one a new version' },
  'image-file.no_depot': {
    status: 409,
    title: 'This installation has no depot for disks',
    next: 'name a folder for it in the configuration of provisioning and of the agent gateway: images.depot',
  },
  'image-file.unknown': { status: 404, title: 'Nothing came of this file', next: 'upload it: chrysalis image import' },
  'image-file.gap': { status: 409, title: 'What comes before has not come yet', next: 'go on at `received`' },
  'image-file.too_large': {
    status: 422,
    title: 'The disk is larger than disks may be here',
    next: 'take a smaller one, or raise the limit: images in the configuration',
  },
  'image-file.unsafe': {
    status: 422,
    title: 'The disk refers to other files, is encrypted or needs what is not known here, and is not taken',
    next: 'make a disk of its own from it: qemu-img convert -O qcow2 FILE NEW',
  },
  'image-file.broken': { status: 422, title: 'The file is not the disk that it says it is', next: 'read the message; qemu-img check FILE' },
  'image-file.corrupt': {
    status: 422,
    title: 'What came is not what has this digest, and was thrown away',
    next: 'upload it again from its beginning',
  },
  'image-file.path_refused': {
    status: 422,
    title: 'Nothing is taken from this path',
    next: 'put the file itself, and no link to it, into the folder for imports: images.imports in the configuration of provisioning',
  },
  'image.too_large': {
    status: 422,
    title: 'The root disk of the type cannot hold the image',
    next: 'take a type with a larger disk root, or with none: then it is as large as the image',
  },
  'image.no_room': {
    status: 422,
    title: 'The type has so many disks and NICs that a root disk finds no room',
    next: 'take a type with fewer disks or NICs',
  },
  'seed.invalid': {
    status: 422,
    title: 'What the guest is to be told at its first boot cannot be read',
    next: 'mend what `path` names: a cloud-config, a network-config of version 2',
  },
  'guest-address.exhausted': {
    status: 409,
    title: 'Every guest address is taken',
    next: 'delete VMs that are not needed, or widen the range of addresses',
  },
  'characterisation.unknown': {
    status: 404,
    title: 'Nothing was found out about this VM',
    next: 'ask for the options of the VM with a grant: chrysalis options query',
  },
  'characterisation.foreign_vm': { status: 403, title: 'What was found is of another VM', next: 'characterise the VM again' },
} as const satisfies CodeEntries;
