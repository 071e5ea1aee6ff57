import { agentGatewayEvents } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { Gauge } from 'prom-client';
import { appendOf } from './append.ts';
import { noteClocks } from './sql.ts';

/** A frame that lay somewhere makes its sender look late, never early: of a few samples the greatest is the best. */
const SAMPLES = 8;
const ENOUGH = 3;
/** What a host's clock has to change by before it is told again. */
const TELL_MS = 1_000;

type Measured = { readonly hostId: string; readonly tenant: string; samples: number[]; told?: number };
export type Skew = { readonly hostId: string; readonly tenant: string; readonly skewMs: number };

/** How far each host's clock is ahead of this machine's, from the times in its heartbeats. Nothing is decided by it: operators see it. */
export class Clocks {
  readonly #hosts = new Map<object, Measured>();

  constructor({ metrics }: Pick<ServiceContext, 'metrics'>) {
    const worst = (): number => Math.max(0, ...[...this.#hosts.values()].map(skewOf).map((ms) => Math.abs(ms ?? 0)));
    new Gauge({
      name: 'chrysalis_agent_gateway_clock_skew_max_ms',
      help: 'How far the clock of a connected host is off at most',
      registers: [metrics],
      collect() {
        this.set(worst());
      },
    });
  }

  /** `connection`: what is measured anew when the host comes again. */
  heard(connection: object, host: { readonly hostId: string; readonly tenant: string }, at: string, now: number): void {
    const measured = this.#hosts.get(connection) ?? { ...host, samples: [] };
    measured.samples = [...measured.samples, Date.parse(at) - now].slice(-SAMPLES);
    this.#hosts.set(connection, measured);
  }

  left(connection: object): void {
    this.#hosts.delete(connection);
  }

  /** Those that are new, or have changed. Taken for told. */
  due(): readonly Skew[] {
    return [...this.#hosts.values()].flatMap((measured) => {
      const skewMs = skewOf(measured);
      if (skewMs === undefined || (measured.told !== undefined && Math.abs(measured.told - skewMs) < TELL_MS)) return [];
      measured.told = skewMs;
      return [{ hostId: measured.hostId, tenant: measured.tenant, skewMs }];
    });
  }
}

const skewOf = ({ samples }: Measured): number | undefined => (samples.length < ENOUGH ? undefined : Math.max(...samples));

/** The first measure of a host is an event, and each that differs from the last one told; not each connection. */
export const tellSkews = async (service: ServiceContext, skews: readonly Skew[]): Promise<void> => {
  if (skews.length === 0) return;
  await service.store.transaction(
    async (tx) => {
      const changed = await noteClocks(tx, skews, TELL_MS);
      for (const { hostId, tenant, skewMs } of skews.filter((s) => changed.has(s.hostId))) {
        const data = { hostId, skewMs, at: service.clock() };
        await appendOf(service, tx, hostId, tenant, { type: agentGatewayEvents.hostClockMeasured.type, data });
      }
    },
    { attempts: 5 },
  );
};
