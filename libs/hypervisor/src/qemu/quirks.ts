/** What one QEMU does that another does not, where it matters for what may be asked of it. The one place that reads a version. */
export type Quirks = {
  /** It comes through the unplug of a CPU whole: it lives on, and can be moved. */
  readonly cpuHotUnplug: boolean;
  /** Of one process no more CPUs can be started than a VM can have: one that was unplugged is never given back. */
  readonly cpuThreadsSpent: boolean;
};

/**
 * Under TCG no QEMU is known to come whole through the unplug of a CPU, whose memory listener stays behind. 7.2.22 died in 8 of 9 runs: at
 * the next plug, unplug or migration, with a corrupt heap found in `memory_region_transaction_commit`. 10.0.2 lives on, and then waits for
 * ever in the first look at dirty pages (`memory_global_after_dirty_log_sync`, a piece of work for the CPU that is gone): a migration stays in
 * `setup`, and does not even let itself be cancelled. And every CPU that a process starts under TCG takes a context that is never given back:
 * 10.0.2 aborts in `tcg_register_thread` at the plug after as many as `maxcpus` says. KVM has neither.
 */
export const quirksOf = (accelerator: 'kvm' | 'tcg' | 'none'): Quirks =>
  accelerator === 'tcg' ? { cpuHotUnplug: false, cpuThreadsSpent: true } : { cpuHotUnplug: true, cpuThreadsSpent: false };
