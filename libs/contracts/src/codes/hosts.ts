import type { CodeEntries } from './entry.ts';

/** Why a host does not take or hold something, and why its agent cannot do a task. What the agent says reaches the API as causes and blockers. */
export const hostsCodes = {
  'host.unknown': { status: 404, title: 'There is no such host', next: 'chrysalis host list' },
  'host.cordoned': { status: 409, title: 'The host is cordoned: it takes nothing new', next: 'choose another host, or enable it' },
  'host.draining': { status: 409, title: 'The host is draining: it takes nothing new', next: 'choose another host, or enable it' },
  'host.retiring': { status: 409, title: 'The host is retiring: it takes nothing new', next: 'choose another host' },
  'host.lost': {
    status: 409,
    title: 'The host is lost: it takes nothing until its agent is back',
    next: 'bring its agent back, or choose another host',
  },
  'host.agent_away': { status: 409, title: 'The agent of the host is not connected', next: 'bring its agent back, or choose another host' },
  'host.excluded': { title: 'The request excludes this host', next: 'choose another host' },
  'host.not_requested': { title: 'The request names another host', next: 'choose the host that it names' },
  'host.capacity_exceeded': {
    status: 409,
    title: 'The host has not enough room',
    next: [
      'choose another host or a smaller type; chrysalis host get {hostId} shows what is free',
      'choose another host or a smaller type',
    ],
  },
  'host.amount_unsupported': {
    status: 409,
    title: 'The host does not give such amounts',
    next: 'choose a type with amounts that the host gives',
  },
  'host.cpu_model_missing': { title: 'The host cannot give this CPU model', next: 'choose a host that can' },
  'host.machine_type_missing': { title: 'The host has no such machine type', next: 'choose a host that has it' },
  'host.networks_missing': { title: 'The host is not on one of the networks', next: 'connect it, or choose another host' },
  'host.segments_missing': {
    title: 'The host cannot carry networks that span hosts',
    next: 'give it what it lacks (root, Debian’s nftables and dnsmasq-base, an address that other hosts reach), or choose another host',
  },
  'host.nic_not_delivered': {
    title: 'The guest does not show the NIC',
    next: 'see what its kernel says of it, and try again',
  },
  'host.uefi_missing': {
    title: 'The host has no UEFI for VMs',
    next: 'install Debian’s ovmf on it and restart its agent, or choose another host',
  },
  'host.mtu_too_small': {
    title: 'The host’s own network carries no frames of the size that the network’s VMs send, and what VXLAN adds',
    next: 'raise the MTU of the host’s network, or make the network with a smaller one',
  },
  'host.pools_missing': { title: 'The host does not reach one of the storage pools', next: 'attach it, or choose another host' },
  'host.traits_missing': { title: 'The host lacks a trait', next: 'choose a host that has it' },
  'host.driver_differs': { title: 'The host runs another driver than the VM’s', next: 'choose a host of the same driver' },
  'host.not_empty': {
    title: 'The host still holds something',
    next: 'mend what holds each one there, and retire the host again; chrysalis allocation list shows what is left',
  },
  'host.enabled': {
    title: 'The host takes new VMs: it never is empty for good',
    next: 'to empty it: chrysalis host retire, or drain or cordon it',
  },
  'host.disk_full': { title: 'The disk of the host is full', next: 'make room on the host, and try again' },
  'host.disk_short': { title: 'The host has not enough disk', next: 'make room on the host, or choose another' },
  'host.memory_short': { title: 'The host has not enough memory free', next: 'choose another host, or end what takes it there' },
  'host.epoch_ahead': {
    title: 'The task is of an epoch that this host has not seen',
    next: 'wait until the host has caught up, and try again',
  },
  'host.epoch_stale': { title: 'The task is of an epoch that is over', next: 'nothing: the VM has moved on since' },
  'host.token_stale': { title: 'A later task of this workflow was seen', next: 'nothing: the later one counts' },
  'host.wrong_host': { title: 'The task is for another host', next: 'start the agent with the name of its own host' },
  'host.method_unsupported': { title: 'The host cannot carry out this method of transfer', next: 'choose another method' },
  'host.fault': { title: 'The host agent failed in a way that nobody foresaw', next: 'see its log on the host, and try again' },
  'host.output_invalid': {
    title: 'What the host answered is not what this task answers',
    next: 'bring host agent and control plane to versions that fit',
  },
  'host.vm_unknown': { title: 'The host’s agent does not have the VM', next: 'chrysalis vm list shows where each is' },
  'host.vm_present': { title: 'The VM is on this host already', next: 'see what the host says of it: its log, its data directory' },
  'host.vm_incoming': { title: 'The VM is not switched over to this host yet', next: 'wait for the end of the move' },
  'host.vm_in_move': { title: 'The VM is in a move on this host', next: 'wait for the end of the move, or cancel it' },
  'host.vm_not_running': { title: 'The VM does not run on this host', next: 'chrysalis vm list shows how each stands' },
  'host.topology_mismatch': {
    title: 'The VM’s hardware is not what was recorded',
    next: 'do not move it: compare what the host says with what was recorded',
  },
  'host.guest_ended': { title: 'The guest ended while it was to go on', next: 'see its console; it ended by itself' },
  'host.guest_lost': { title: 'The source’s QEMU ended', next: 'see its last words on the host' },
  'host.post_copy_lost': {
    title: 'The guest was on its way by post-copy, and one of its two hosts lost its part of it',
    next: [
      'chrysalis vm get shows whether its move has it still: then chrysalis workflow skip, of verify-guest and await-memory, lets go of it',
      'chrysalis vm stop --force, then chrysalis vm start: its disks are as they stood',
    ],
  },
  'host.post_copy_cut': {
    title: 'The target could not be sent the rest of the memory for longer than the template allows',
    next: 'mend the way between the two hosts: what is left is sent then; after that, retry the move from this step',
  },
  'host.guest_panicked': {
    title: 'The guest panicked after the switch-over',
    next: 'see its console; reset it on its host where it did not restart by itself, then chrysalis workflow retry-from, at confirm-target; or delete it',
  },
  'host.guest_stays': {
    title: 'The guest did not do as it was asked: it did not shut down, or did not restart',
    next: 'see what it waits for, and ask again; with force its power or its reset button does it',
  },
  'host.guest_silent': { title: 'The guest did not answer in time', next: 'see whether it runs; try again' },
  'host.guest_stands_still': {
    title: 'The CPUs of the guest do nothing',
    next: 'see its console and registers; reset it on its host, or delete it',
  },
  'host.image_unknown': { title: 'The host has no such image', next: 'publish it on that host, or fetch it from one that has it' },
  'host.image_missing': { title: 'The image is not in this host’s image store', next: 'put it in the host’s image store' },
  'host.image_conflict': { title: 'Another image of this name is on the host', next: 'give the new one a new version' },
  'host.image_corrupt': {
    title: 'What came is not the image of this digest',
    next: 'nothing: it is fetched again; if it stays, see the disk of the host that sends',
  },
  'host.image_failed': {
    title: 'The image could not be made',
    next: 'read the message: what qemu-img said, or what is wrong with the source',
  },
  'host.image_incomplete': { title: 'The image did not come whole', next: 'nothing: it is fetched again' },
  'host.image_not_elsewhere': { title: 'The image is on this host already', next: 'fetch it to another host' },
  'host.image_refused': {
    title: 'The other host refused to send the image',
    next: 'nothing: it is asked again; see the log of the host that sends',
  },
  'host.image_timeout': { title: 'qemu-img took too long', next: 'try again, or choose a smaller image' },
  'host.image_too_small': { title: 'The size asked for cannot hold the source', next: 'ask for a larger one' },
  'host.image_deleted': {
    title: 'The image was deleted, and its disk is not to be had any more',
    next: 'import it again, or take another: chrysalis image list',
  },
  'host.image_unsafe': {
    title: 'The source refers to other files, is encrypted or needs what is not known here, and is not read',
    next: 'make an image of its own from it (qemu-img convert)',
  },
  'host.format_unsupported': { title: 'The host does not make images of this format', next: 'ask for another format' },
  'host.tool_missing': { title: 'A tool is missing on the host', next: 'install it on the host; the message names it' },
  'host.volume_busy': { title: 'The volume is in use', next: 'wait until nothing has it open, and try again' },
  'host.package_invalid': {
    title: 'The agent’s package on this host is not the one of its digest',
    next: 'put the package in the host’s store anew',
  },
  'host.package_missing': { title: 'The agent’s package is not on this host', next: 'put the package in the host’s store' },
  'host.peer_unreachable': { title: 'The other host does not answer', next: 'see the network between the hosts, and the other’s agent' },
  'host.move_unknown': { title: 'The VM did not come by this move', next: 'see which move it came by: chrysalis migration list' },
  'host.not_fenced': { title: 'The VM is not a source that was given away', next: 'nothing is to be ended here' },
  'host.pause_exceeded': {
    title: 'The guest would have stood still for too long; it runs on at the source',
    next: 'allow a longer pause, or try when the guest writes less',
  },
  'host.receipt_invalid': {
    title: 'The two ends of the move do not speak of the same move',
    next: 'nothing: the source keeps the VM; see both hosts’ logs',
  },
  'host.mid_migration_failed': {
    title: 'What was to be done at the target while the guest stood still was not done in time',
    next: 'see the cause in `message`; the guest runs on at its source: raise `midMigration.withinMs`, or do it before or after the move',
  },
  'host.target_lost': {
    title: 'The target is gone, or runs the VM already',
    next: 'see the target’s log; chrysalis vm list shows where the VM is',
  },
  'host.target_not_running': { title: 'The target does not run the VM', next: 'see its last words on the target' },
  'host.target_runs': { title: 'The VM was switched over to this host', next: 'nothing is to be undone here' },
  'host.transfer_deadline': {
    title: 'The transfer had not ended at its deadline; the VM runs on at the source',
    next: 'give it more time or bandwidth, or try when the guest writes less',
  },
  'host.transfer_failed': { title: 'The transfer failed', next: 'see both hosts’ logs, and try again' },
  'host.transfer_interrupted': { title: 'The source agent ended in mid-transfer', next: 'try again' },
  'allocation.unknown': { status: 404, title: 'The consumer holds nothing there', next: 'chrysalis allocation list' },
  'allocation.conflict': {
    status: 409,
    title: 'The consumer holds something else there',
    next: 'release that first; chrysalis allocation list shows it',
  },
  'allocation.left_over': {
    title: 'What a VM held is still held after it has left',
    next: 'wait a moment; where it stays: the workflow audit-holds',
  },
  'allocation.superseded': { title: 'It was released after this placement was sent', next: 'nothing: the release counts' },
  'placement.no_host': {
    title: 'No host fits',
    next: 'free room or add a host; the reasons stand beside it or in `detail`, with the first hosts of each',
  },
  'host.guest_uses_volume': {
    title: 'The guest uses the volume',
    next: 'unmount it in the guest, and detach it again; or, at the loss of what is not written yet: chrysalis volume detach --force',
  },
  'host.volume_use_unknown': {
    title: 'Nobody in the guest says whether it uses the volume',
    next: 'run qemu-ga in the guest, or stop the VM first, or: chrysalis volume detach --force',
  },
  'host.volume_not_delivered': {
    title: 'The guest does not show the volume',
    next: 'see its kernel’s log; virtio_blk and PCI hot-plug are needed',
  },
  'host.pool_local': {
    title: 'A disk is in a storage pool that only one host sees',
    next: 'detach the volume first; a VM’s own disks are copied where both hosts have a pool of that name for themselves',
  },
} as const satisfies CodeEntries;
