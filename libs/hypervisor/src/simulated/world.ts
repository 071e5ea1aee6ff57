import { randomUUID } from 'node:crypto';
import type { HostFacts } from '@chrysalis/contracts';
import { realClock } from './clock.ts';
import type { Clock } from './clock.ts';
import { Faults } from './faults.ts';
import { MemoryLink } from './link.ts';
import type { Link } from './link.ts';
import type { SimulatedStore } from './state.ts';

/** What the simulated hosts of one test, or one fleet, have in common. */
export class SimulatedWorld {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly link: Link;
  /** Volumes by `pool/name`, or `pool@host/name` where no other host sees the pool. */
  readonly volumes = new Map<
    string,
    { readonly sizeMiB: number; readonly holder?: string; readonly blank?: boolean; readonly state?: string }
  >();
  readonly bandwidthMiBps: number;
  readonly newBootId: () => string;

  constructor(o: { clock?: Clock; seed?: number; link?: Link; bandwidthMiBps?: number; newBootId?: () => string } = {}) {
    this.clock = o.clock ?? realClock;
    this.faults = new Faults(this.clock, o.seed ?? 1);
    this.link = o.link ?? new MemoryLink();
    this.bandwidthMiBps = o.bandwidthMiBps ?? 1024;
    this.newBootId = o.newBootId ?? randomUUID;
  }
}

export type SimulatedConfig = {
  readonly host: string;
  /** Where targets listen; the host's name for an in-memory link. */
  readonly address?: string;
  readonly world?: SimulatedWorld;
  /** VMs survive the driver here; give the same store again to adopt them. */
  readonly store?: SimulatedStore;
  readonly pools?: readonly string[];
  /** Of pools that processes share: where volumes of their own standing are. */
  readonly poolDirectories?: Readonly<Record<string, string>>;
  /** Pools that other hosts do not see. */
  readonly localPools?: readonly string[];
  readonly networks?: readonly string[];
  readonly cpuModels?: readonly string[];
  readonly firmware?: HostFacts['firmware'];
  readonly machineTypes?: readonly string[];
  /** Milliseconds that a boot and a plug take. */
  readonly bootMs?: number;
  readonly plugMs?: number;
};
