// A member of a group in a process of its own, to be killed: it says on stdout what it was given, and hangs in the middle of a batch.
import pg from 'pg';
import { createBus, type BusConfig, type CloudEvent } from '../index.ts';

const {
  bus: config,
  group,
  topic,
  hangAt,
} = JSON.parse(process.argv[2]!) as { bus: BusConfig; group: string; topic: string; hangAt: number };
const numberOf = (event: CloudEvent): number => (event.data as { n: number }).n;
const bus = createBus(
  config.kind === 'embedded' ? { ...config, pool: new pg.Pool({ connectionString: config.connectionString, max: 4 }) } : config,
);
await bus.subscribe({
  group,
  topics: [topic],
  maxBatch: 10,
  handle: async (events) => {
    for (const event of events) {
      process.stdout.write(`${event.partitionkey} ${numberOf(event)}\n`);
      if (numberOf(event) === hangAt) await new Promise(() => setInterval(() => undefined, 1_000));
    }
  },
});
