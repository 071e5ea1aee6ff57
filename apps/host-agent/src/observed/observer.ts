import { EventEmitter } from 'node:events';
import type { VmOnHost } from '@chrysalis/contracts';
import { hasCode, type HypervisorDriver, type LifecycleEvent, type VmStatus } from '@chrysalis/hypervisor';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import type { z } from 'zod';
import type { VmStates } from '../durable/vm-states.ts';
import { full, spend, type Allowance } from './allowance.ts';
import { candidateOf, happened, looked, sayable, type Candidate, type Known, type Look } from './known.ts';
import type { ObservedStore } from './store.ts';

type OnHost = z.infer<typeof VmOnHost>;
type Deps = {
  readonly driver: HypervisorDriver;
  readonly states: VmStates;
  readonly store: ObservedStore;
  readonly log: Log;
  readonly now: () => number;
  readonly everyMs: number;
};
type Watched = {
  known?: Known | undefined;
  /** What heartbeats say of it. On disk before it is said. */
  told?: Known | undefined;
  candidate?: Candidate | undefined;
  allowance: Allowance;
  status: string;
  looking?: Promise<void> | undefined;
  telling?: boolean;
};

/**
 * What the VMs of this host were seen to do. Events of the hypervisor come at once; a look every two seconds finds what was missed,
 * and what happened while this agent was not there. Heartbeats say the last of it, again and again, so that nothing is lost with a
 * link; they never wait for a hypervisor.
 */
export class Observer {
  /** Something new is to be told: before the next heartbeat's time. */
  readonly told = new EventEmitter<{ news: [] }>();
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #deaf: (() => void) | undefined;

  constructor(private readonly deps: Deps) {}

  /** Resolves after the first look, or when that takes too long. */
  async start(): Promise<void> {
    for (const [vmId, told] of this.deps.store.all()) Object.assign(this.#watch(vmId), { known: told, told });
    this.#deaf = this.deps.driver.onLifecycle((event) => this.#happened(event));
    this.#timer = setInterval(() => void this.look(), this.deps.everyMs);
    await Promise.race([this.look(), new Promise((late) => setTimeout(late, this.deps.everyMs).unref())]);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#deaf?.();
  }

  /** For hello and heartbeats. */
  vms(): OnHost[] {
    return this.deps.states.all().flatMap((state) => {
      const { vmId, epoch, role, topologyHash } = state;
      if (role === 'none') return [];
      const watched = this.#watched.get(vmId);
      const observed = role === 'runner' && watched?.told?.epoch === epoch ? { observed: watched.told.observed } : {};
      return [{ vmId, epoch, role, status: watched?.status ?? 'unclear', ...(topologyHash ? { topologyHash } : {}), ...observed }];
    });
  }

  /** One look a VM at a time: one whose hypervisor hangs holds up no other. */
  async look(): Promise<void> {
    await Promise.all(
      this.deps.states.all().map((state) => {
        if (state.role === 'none') return this.#forget(state.vmId);
        const watched = this.#watch(state.vmId);
        watched.looking ??= this.#lookAt(state.vmId, watched)
          .catch((err: unknown) => this.deps.log.error({ vmId: state.vmId, err }, 'a VM could not be looked at'))
          .finally(() => (watched.looking = undefined));
        return watched.looking;
      }),
    );
  }

  async #lookAt(vmId: string, watched: Watched): Promise<void> {
    const before = watched.known;
    const status = await statusOf(this.deps.driver, vmId);
    const state = this.deps.states.get(vmId);
    watched.status = typeof status === 'string' ? status : status.state;
    // An event that came meanwhile is newer than this look.
    if (!state || watched.known !== before) return;
    const may = sayable(state);
    const look = lookOf(status);
    watched.candidate = may === 'all' ? candidateOf(watched.candidate, look, this.deps.now()) : undefined;
    if (may === 'nothing') return;
    watched.known = looked(before, state.epoch, look, { nowMs: this.deps.now(), candidate: watched.candidate });
    await this.#tell(vmId, watched);
  }

  #happened(event: LifecycleEvent): void {
    const state = this.deps.states.get(event.vmId);
    this.deps.log.info({ ...event }, 'observed');
    // During a migration or a save a stop and a continuation are its own; an end, a power-off and a reset are not.
    if (!state || sayable(state) === 'nothing' || (event.migrating && event.kind === 'resumed')) return;
    const watched = this.#watch(event.vmId);
    watched.known = happened(watched.known, state.epoch, event);
    void this.#tell(event.vmId, watched);
  }

  /** On disk, then said. Where a VM has said too much lately the rest waits, and goes in one with what comes. */
  async #tell(vmId: string, watched: Watched): Promise<void> {
    if (watched.telling) return;
    watched.telling = true;
    try {
      while (watched.known && watched.known !== watched.told) {
        const left = spend(watched.allowance, this.deps.now());
        if (!left) return;
        watched.allowance = left;
        const { known } = watched;
        await this.deps.store
          .keep(vmId, known)
          .catch((err: unknown) => this.deps.log.error({ vmId, err }, 'what was observed could not be kept, and is told all the same'));
        watched.told = known;
        this.told.emit('news');
      }
    } finally {
      watched.telling = false;
    }
  }

  #watch(vmId: string): Watched {
    const watched = this.#watched.get(vmId) ?? { allowance: full(this.deps.now()), status: 'unclear' };
    this.#watched.set(vmId, watched);
    return watched;
  }

  async #forget(vmId: string): Promise<void> {
    this.#watched.delete(vmId);
    await this.deps.store.forget(vmId).catch((err: unknown) => this.deps.log.warn({ vmId, err }, 'what was observed was not removed'));
  }
}

type Seen = VmStatus | 'gone' | 'unclear';
const statusOf = (driver: HypervisorDriver, vmId: string): Promise<Seen> =>
  driver.status(vmId).catch((error: unknown) => (hasCode(error, 'hypervisor.vm_unknown') ? 'gone' : 'unclear'));

/** Of a VM that the driver does not know, as it is being made or taken away, nothing is said. */
const lookOf = (seen: Seen): Look => {
  if (seen === 'gone') return undefined;
  if (seen === 'unclear' || seen.state === 'unknown') return 'silent';
  return seen.observed;
};
