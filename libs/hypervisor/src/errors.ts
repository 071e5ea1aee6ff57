/**
 * Every way a driver says no. Codes never change meaning.
 *
 * | code | meaning |
 * | --- | --- |
 * | vm_unknown / vm_exists | no such VM in this state directory / it is there already with another shape or role |
 * | qemu_missing | no usable QEMU on this host |
 * | qemu_exited | the QEMU process ended (evidence: its last words) |
 * | qmp_timeout / qmp_closed / qmp_protocol / qmp_refused | the monitor did not answer / went away / spoke nonsense / refused a command |
 * | cpu_model_unsafe / cpu_unsupported / machine_unsupported | the model may not migrate / this host cannot give it / no such machine type |
 * | device_conflict / device_unknown | the id is taken by another device / there is none |
 * | no_free_port / port_in_use | no such root port, or none left / one device a port |
 * | no_free_cpu / no_free_memory / no_free_serial | beyond maxcpus / beyond maxmem or the slot is taken / the port number is taken |
 * | unplug_refused / unplug_timeout | the guest refused (final) / the guest did not answer in time |
 * | unplug_unsafe | this QEMU would not survive it; nothing was asked of the guest |
 * | disk_shrink_refused | disks only grow |
 * | pool_unknown / network_unknown / volume_missing / volume_locked / volume_failed | storage and networks of this host |
 * | topology_mismatch | what is there is not what was said; nothing was sent |
 * | migrating / not_migrating | the VM is in a migration / is not |
 * | migration_failed / migration_stalled / migration_cancelled | why a migration did not complete |
 * | save_failed / save_timeout | the file could not be written / the save, or the pause of the guest, took too long; the VM runs |
 * | not_ready | a resume before the incoming stream is in, a reclaim of a VM that was not given away, and the like |
 * | injected | a fault of the simulated driver |
 */
export const hypervisorCodes = [
  'vm_unknown',
  'vm_exists',
  'qemu_missing',
  'qemu_exited',
  'qmp_timeout',
  'qmp_closed',
  'qmp_protocol',
  'qmp_refused',
  'cpu_model_unsafe',
  'cpu_unsupported',
  'machine_unsupported',
  'device_conflict',
  'device_unknown',
  'no_free_port',
  'port_in_use',
  'no_free_cpu',
  'no_free_memory',
  'no_free_serial',
  'unplug_refused',
  'unplug_timeout',
  'unplug_unsafe',
  'disk_shrink_refused',
  'pool_unknown',
  'network_unknown',
  'volume_missing',
  'volume_locked',
  'volume_failed',
  'topology_mismatch',
  'migrating',
  'not_migrating',
  'migration_failed',
  'migration_stalled',
  'migration_cancelled',
  'save_failed',
  'save_timeout',
  'not_ready',
  'injected',
] as const;
export type HypervisorCode = `hypervisor.${(typeof hypervisorCodes)[number]}`;

export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
  readonly code: HypervisorCode;
  /** Evidence: QEMU's last words, the refused command, the differences. */
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: HypervisorCode, message: string, detail: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

export const hasCode = (error: unknown, ...codes: HypervisorCode[]): error is HypervisorError =>
  error instanceof HypervisorError && (codes.length === 0 || codes.includes(error.code));
