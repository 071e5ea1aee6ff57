import type { CodeEntries } from './entry.ts';

/** Every way a driver says no. They reach the API as causes, through the host's agent. */
export const hypervisorCodes = {
  'hypervisor.vm_unknown': { title: 'The hypervisor has no such VM', next: 'chrysalis vm list shows where each is' },
  'hypervisor.vm_exists': {
    title: 'The VM is there already, with another shape or role',
    next: 'see what the host says of it: its log, its data directory',
  },
  'hypervisor.qemu_missing': { title: 'No usable QEMU is on this host', next: 'install QEMU on the host; the message names the package' },
  'hypervisor.qemu_exited': { title: 'The QEMU process ended', next: 'read its last words in `detail`' },
  'hypervisor.qmp_timeout': { title: 'QEMU’s monitor does not answer', next: 'see what the host is busy with, and try again' },
  'hypervisor.qmp_closed': { title: 'QEMU’s monitor went away', next: 'see whether its QEMU still runs, and try again' },
  'hypervisor.qmp_protocol': { title: 'QEMU’s monitor spoke nonsense', next: 'see its version, and who else speaks on that socket' },
  'hypervisor.qmp_refused': { title: 'QEMU refused a command', next: 'read its words in the message' },
  'hypervisor.segment_failed': {
    title: 'The host could not make its part of a network, or the VM’s place on it',
    next: 'see what is said: it is of ip, nft or dnsmasq on the host; and try again',
  },
  'hypervisor.cpu_model_unsafe': { title: 'A VM with this CPU model may not survive a migration', next: 'choose a named CPU model' },
  'hypervisor.cpu_unsupported': {
    title: 'This host cannot give the CPU model',
    next: 'choose another host or model; `detail` says what is missing',
  },
  'hypervisor.machine_unsupported': { title: 'This host’s QEMU has no such machine type', next: 'choose another host' },
  'hypervisor.uefi_missing': { title: 'No UEFI for VMs is on this host', next: 'install Debian’s ovmf on it, or choose another host' },
  'hypervisor.device_conflict': { title: 'The id is taken by another device', next: 'give the device another id' },
  'hypervisor.device_unknown': { title: 'The VM has no such device', next: 'see its topology: chrysalis vm list' },
  'hypervisor.no_free_port': {
    title: 'There is no such root port, or none left',
    next: 'restart the VM with more ports, or unplug something',
  },
  'hypervisor.port_in_use': { title: 'The root port has a device', next: 'take another port' },
  'hypervisor.no_free_cpu': { title: 'The CPU is beyond what the VM was made for, or taken', next: 'restart it with more headroom' },
  'hypervisor.no_free_memory': {
    title: 'The memory is beyond what the VM was made for, or the slot is taken',
    next: 'restart it with more headroom',
  },
  'hypervisor.no_free_serial': { title: 'The serial port number is taken', next: 'take another number' },
  'hypervisor.unplug_refused': { title: 'The guest refused to let the device go', next: 'free it in the guest, and try again' },
  'hypervisor.unplug_timeout': { title: 'The guest did not let the device go in time', next: 'free it in the guest, and try again' },
  'hypervisor.unplug_unsafe': { title: 'This QEMU would not come whole through the unplug', next: 'offline it in the guest instead' },
  'hypervisor.cpu_threads_spent': {
    title: 'The VM’s QEMU process can start no more CPUs in its life',
    next: 'move the VM: at the target its process is a new one',
  },
  'hypervisor.disk_shrink_refused': { title: 'Disks only grow', next: 'ask for a size that is not smaller' },
  'hypervisor.pool_unknown': { title: 'The host has no such storage pool', next: 'attach it to the host, or choose another' },
  'hypervisor.network_unknown': { title: 'The host has no such network', next: 'connect the host to it, or choose another' },
  'hypervisor.volume_missing': { title: 'The volume is not there', next: 'see the storage pool on the host' },
  'hypervisor.volume_locked': { title: 'Another process has the volume open', next: 'see who has it open on the host' },
  'hypervisor.volume_in_use': {
    title: 'A VM of the host has the volume',
    next: 'detach it first: chrysalis volume list shows from which VM',
  },
  'hypervisor.volume_conflict': {
    title: 'The volume has another size',
    next: 'a grow that was given up may have been done: grow it to what it has, or to more',
  },
  'hypervisor.pool_full': { title: 'The storage pool is full', next: 'make room in it; chrysalis pool list shows how each stands' },
  'hypervisor.volume_failed': { title: 'The volume could not be made or read', next: 'see the storage pool on the host' },
  'hypervisor.topology_mismatch': {
    title: 'What is there is not what was said; nothing was sent',
    next: 'compare both topologies in `detail`',
  },
  'hypervisor.migrating': { title: 'The VM is in a migration', next: 'wait for its end' },
  'hypervisor.migration_failed': { title: 'The migration failed', next: 'read QEMU’s words, and try again' },
  'hypervisor.migration_stalled': { title: 'The migration did not go on', next: 'see the network between the hosts, and try again' },
  'hypervisor.migration_held': {
    title: 'The transfer had nothing more to send before its switch-over was approved, and was called off',
    next: 'nothing: it comes anew with the approval',
  },
  'hypervisor.disk_copy_failed': {
    title: 'A disk could not be copied to the target; the guest runs on with its own',
    next: 'read the words of QEMU, see the network between the hosts and the pool at the target, and try again',
  },
  'hypervisor.migration_cancelled': { title: 'The transfer was cancelled', next: 'nothing is left to do' },
  'hypervisor.save_failed': {
    title: 'The state could not be written to its file; the VM runs on',
    next: 'make room on the host, and try again',
  },
  'hypervisor.save_corrupt': {
    title: 'What is in the file of a saved state is not what was written to it; nothing of it was taken, and the VM runs on where it was',
    next: 'see the storage pool that both hosts share, and try again',
  },
  'hypervisor.save_timeout': { title: 'The save, or the guest’s pause, took too long; the VM runs on', next: 'give it more time' },
  'hypervisor.not_ready': {
    title: 'The hypervisor cannot do this in the state that the VM is in',
    next: 'chrysalis vm list shows how each stands',
  },
  'hypervisor.no_console': { title: 'Nobody is at the other end of the console', next: 'start the VM: chrysalis vm start VM' },
  'hypervisor.no_display': {
    status: 409,
    title: 'The VM has no display',
    next: 'use its serial console, or make it of an image that has one: chrysalis image register|import --display vga',
  },
  'hypervisor.screen_too_large': { title: 'The picture of the screen is too large to be sent', next: 'take it on the host' },
  'hypervisor.injected': { title: 'A fault of the simulated driver', next: 'nothing: a test asked for it' },
} as const satisfies CodeEntries;
