import type { Code, ObservedState } from '@chrysalis/contracts';

/** `unknown` is no state of a VM but of our knowledge. */
export type GuestState = Exclude<ObservedState, 'unknown'>;

/**
 * What happened to a VM by itself. `by`: whose doing it was. `migrating`: a migration or a save was under way, so that a stop or a
 * continuation may be its own.
 */
export type LifecycleEvent = {
  readonly vmId: string;
  readonly kind: 'resumed' | 'stopped' | 'reset' | 'shut-down' | 'panicked' | 'io-error' | 'ended';
  /** Of the VM after it. */
  readonly state: GuestState;
  readonly by: 'guest' | 'host';
  readonly code: Code;
  readonly message: string;
  /** The host's clock, microseconds since 1970. */
  readonly atUs: number;
  readonly migrating: boolean;
  /** Of a reset: part of a restart that was told before, as firmware resets as well. */
  readonly again?: boolean;
};
/** What a VM is seen to be: `why` is the event that made it so, where one was seen. */
export type GuestReading = { readonly state: GuestState; readonly why?: Omit<LifecycleEvent, 'vmId' | 'migrating' | 'state'> };

export type Happening = Omit<LifecycleEvent, 'vmId' | 'migrating'>;

const made =
  (what: Pick<Happening, 'kind' | 'state' | 'by' | 'code'>, message: string) =>
  (atUs: number): Happening => ({ ...what, message: message.slice(0, 2_000), atUs });

/** The causes, by code. A code never changes its meaning. */
export const happenings = {
  resumed: made({ kind: 'resumed', state: 'running', by: 'host', code: 'vm.resumed' }, 'its CPUs run again'),
  stopped: made({ kind: 'stopped', state: 'paused', by: 'host', code: 'vm.stopped' }, 'its CPUs were stopped on its host'),
  asleep: made({ kind: 'stopped', state: 'paused', by: 'guest', code: 'vm.suspended' }, 'the guest suspended itself'),
  restarted: made({ kind: 'reset', state: 'running', by: 'guest', code: 'vm.reset' }, 'the guest restarted itself'),
  reset: made({ kind: 'reset', state: 'running', by: 'host', code: 'vm.reset' }, 'it was reset on its host'),
  shutDown: made({ kind: 'shut-down', state: 'shut-down', by: 'guest', code: 'vm.shut_down' }, 'the guest powered itself off'),
  halted: made({ kind: 'shut-down', state: 'shut-down', by: 'host', code: 'vm.off_as_told' }, 'it was stopped, as it was asked to be'),
  panicked: made({ kind: 'panicked', state: 'panicked', by: 'guest', code: 'vm.panicked' }, 'the guest panicked'),
  ioError: (disk: string, why: string, atUs: number) =>
    made({ kind: 'io-error', state: 'io-error', by: 'host', code: 'vm.io_error' }, `disk ${disk}: ${why}; the guest stands still`)(atUs),
  ended: (words: string, atUs: number) =>
    made(
      { kind: 'ended', state: 'gone', by: 'host', code: 'vm.gone' },
      `its process ended: ${words.slice(-1_500) || 'without a word'}`,
    )(atUs),
} as const;

/** Who listens to what happens to the VMs of a host. */
export class Lifecycles {
  private readonly listeners = new Set<(event: LifecycleEvent) => void>();

  on(listener: (event: LifecycleEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(event: LifecycleEvent): void {
    for (const listener of [...this.listeners]) listener(event);
  }
}
