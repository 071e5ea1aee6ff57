import {
  runAsProcess,
  startService,
  type Part,
  type RunningService,
  type ServiceConfig,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { Counter, Gauge } from 'prom-client';
import { project, sources } from './consume.ts';
import { migrations } from './migrations.ts';

export const READ_SCHEMA = 'read';

/** Builds the read models in schema `read` from every context's events. Any number may run: the bus shares the partitions among them. */
export const start = (config: ServiceConfig): Promise<RunningService> =>
  startService(config, {
    context: 'projector',
    schema: READ_SCHEMA,
    migrations,
    parts: (service) => ({ background: [() => follow(service)] }),
  });

const follow = async (service: ServiceContext): Promise<Part> => {
  const { bus, store, log, metrics } = service;
  const applied = new Counter({ name: 'chrysalis_projector_events_total', help: 'Events applied', registers: [metrics] });
  await bus.ensureTopics(sources.map((name) => ({ name, partitions: 6 })));
  const consumption = await project({ bus, store, log, onApplied: (n) => applied.inc(n) });
  new Gauge({
    name: 'chrysalis_projector_parked_total',
    help: 'Events parked since the start',
    registers: [metrics],
    collect() {
      this.set(consumption.counts.parked);
    },
  });
  return consumption;
};

if (import.meta.main) await runAsProcess(start);
