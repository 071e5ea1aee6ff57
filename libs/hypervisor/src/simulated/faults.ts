import { HypervisorError } from '../errors.ts';
import type { HypervisorCode } from '@chrysalis/contracts';
import type { Clock } from './clock.ts';

export type Operation =
  | 'boot'
  | 'plug'
  | 'unplug'
  | 'resize-disk'
  | 'serial-port'
  | 'prepare-target'
  | 'migrate'
  | 'migrate-load'
  | 'migrate-rest'
  | 'save'
  | 'suspend'
  | 'restore'
  | 'resume'
  | 'reclaim'
  | 'halt'
  | 'start'
  | 'destroy'
  | 'status';

/** What goes wrong, where, how often. `hang`: does not answer for `ms`, then fails; `slow`: takes `ms` longer. */
export type Fault = {
  readonly operation: Operation;
  readonly host?: string;
  readonly vmId?: string;
  readonly action: 'fail' | 'hang' | 'slow';
  readonly code?: HypervisorCode;
  readonly ms?: number;
  /** How many times; for ever without it. */
  readonly times?: number;
  /** 0 to 1000; always without it. Drawn from the seed. */
  readonly perMille?: number;
};

/** mulberry32: a few lines, and the same numbers everywhere. */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
};

export class Faults {
  private readonly draw: () => number;
  private readonly clock: Clock;
  private armed: (Fault & { left: number })[] = [];
  /** What was really reached: a fault test asserts it. */
  readonly reached: { readonly operation: Operation; readonly host: string; readonly vmId: string }[] = [];

  constructor(clock: Clock, seed: number) {
    this.clock = clock;
    this.draw = random(seed);
  }

  add(fault: Fault): void {
    this.armed.push({ ...fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.armed = [];
  }

  async pass(operation: Operation, host: string, vmId: string): Promise<void> {
    for (const fault of this.armed) {
      if (!matches(fault, operation, host, vmId) || fault.left <= 0) continue;
      if (fault.perMille !== undefined && this.draw() * 1000 >= fault.perMille) continue;
      fault.left--;
      this.reached.push({ operation, host, vmId });
      if (fault.action !== 'fail') await this.clock.sleep(fault.ms ?? 1_000);
      if (fault.action !== 'slow')
        throw new HypervisorError(fault.code ?? 'hypervisor.injected', `Injected at ${operation} of ${vmId} on ${host}`, {
          operation,
          host,
          vmId,
        });
    }
  }
}

const matches = (f: Fault, operation: Operation, host: string, vmId: string): boolean =>
  f.operation === operation && (f.host === undefined || f.host === host) && (f.vmId === undefined || f.vmId === vmId);
