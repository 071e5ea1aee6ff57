import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EventStore, migrate } from '@chrysalis/event-store';
import { createBus, startRelay, toCloudEvent, type EventBus } from '@chrysalis/messaging';
import { Kafka, type Producer } from 'kafkajs';
import pg from 'pg';
import { v7 as uuid } from 'uuid';
import { startKafka } from '../../infra/kafka/launcher.ts';
import { startPostgres } from '../../infra/postgres/launcher.ts';
import { Latencies, openLoop } from './open-loop.ts';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';

const rates = [500, 2_000] as const;
const roundMs = 3_000;
const streams = 64;
const partitions = 6;
const embeddedP99 = 10;
const kafkaOverAck = 10;

/** One run of one way from commit to consumer. */
type Run = { readonly p99: number; readonly summary: ReturnType<Latencies['summary']>; readonly lost: number; readonly disordered: number };
type Way = { readonly name: string; readonly version: string; run(rate: number, ms: number): Promise<Run>; close(): Promise<void> };

/**
 * From the commit (the append is acknowledged) to the consumer's handler, under a load that does not wait: 500 and 2,000 appends of
 * one event a second. Beside it what kafkajs itself needs until the broker acknowledges, same payload, same broker, `acks=all`, no
 * PostgreSQL and no consumer.
 */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  const postgres = await startPostgres();
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-bench-kafka-'));
  const kafka = await startKafka({ dir });
  const ways: Way[] = [];
  try {
    const open = (config: Parameters<typeof createBus>[0]): EventBus => createBus(config);
    const pool = new pg.Pool({ connectionString: postgres.connectionString, max: 20 });
    pool.on('error', () => undefined);
    ways.push(
      await relayed(
        'embedded',
        `PostgreSQL ${postgres.version}`,
        pool,
        open({ kind: 'embedded', pool, connectionString: postgres.connectionString }),
      ),
    );
    ways.push(await relayed('kafka', `Kafka ${kafka.version}`, pool, open({ kind: 'kafka', brokers: kafka.brokers, clientId: 'bench' })));
    ways.push(await acknowledged(kafka.brokers));
    for (const way of ways) await way.run(500, 1_000);
    const results = new Map<string, Run[]>();
    const once = async (round: number, rate: number, way: Way): Promise<void> => {
      const run = await way.run(rate, roundMs);
      const key = `${way.name} ${rate}`;
      results.set(key, [...(results.get(key) ?? []), run]);
      progress(
        `round ${round}: ${way.name} at ${rate}/s: p50 ${run.summary.median} ms, p99 ${run.p99} ms, lost ${run.lost}, out of order ${run.disordered}`,
      );
    };
    const each = rates.flatMap((rate) => ways.map((way) => [rate, way] as const));
    for (let round = 1; round <= rounds; round++) for (const [rate, way] of each) await once(round, rate, way);
    return conclude(ways, results, rounds, {
      database: `PostgreSQL ${postgres.version}`,
      fsync: 'on',
      broker: `Apache Kafka ${kafka.version}, 1 broker, acks=all`,
    });
  } finally {
    for (const way of ways) await way.close();
    await kafka.stop();
    await postgres.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

const conclude = (ways: readonly Way[], results: ReadonlyMap<string, Run[]>, rounds: number, facts: Record<string, unknown>): Report => {
  const runs = (name: string, rate: number): Run[] => results.get(`${name} ${rate}`)!;
  const p99 = (name: string, rate: number): number => median(runs(name, rate).map((run) => run.p99));
  const label: Record<string, string> = {
    embedded: 'commit to consumer, embedded',
    kafka: 'commit to consumer, kafka',
    [ack]: `${ack}, one request in flight`,
  };
  const contenders = rates.flatMap((rate) =>
    ways.flatMap((way) => [
      contender(
        `${label[way.name]}, ${rate}/s, p99`,
        way.version,
        'ms',
        runs(way.name, rate).map((run) => run.p99),
      ),
      contender(
        `${label[way.name]}, ${rate}/s, median`,
        way.version,
        'ms',
        runs(way.name, rate).map((run) => run.summary.median),
      ),
    ]),
  );
  const all = [...results.values()].flat();
  const targets = [
    ...rates.map((rate) => target(`embedded p99 at ${rate}/s, ms`, p99('embedded', rate), '<=', embeddedP99)),
    ...rates.map((rate) =>
      target(`kafka p99 over kafkajs's own ack at ${rate}/s, ms`, p99('kafka', rate) - p99(ack, rate), '<=', kafkaOverAck),
    ),
    target(
      'events lost',
      all.reduce((sum, run) => sum + run.lost, 0),
      '<=',
      0,
    ),
    target(
      'events out of order',
      all.reduce((sum, run) => sum + run.disordered, 0),
      '<=',
      0,
    ),
  ];
  const rally = Object.fromEntries([...results].map(([key, list]) => [`${key}/s`, list.map((run) => run.summary)]));
  return report('relay', rounds, facts, contenders, targets, { rally });
};

const ack = 'kafkajs ack';

const data = () => ({
  hostId: 'host-0042',
  allocationId: uuid(),
  vmId: 'vm-000123',
  amounts: { vcpu: 4, memoryMiB: 8192, diskMiB: 40960 },
});
const type = 'chrysalis.resource-allocation.capacity.held.v1';
const meta = () => ({ at: new Date().toISOString(), correlationId: 'c-1', actor: 'service:resource-allocation', tenant: 'acme' });

/** Append, relay, bus, consumer: the whole way, in one process as the embedded mode has it. Each way has a schema of its own. */
const relayed = async (kind: 'embedded' | 'kafka', version: string, pool: pg.Pool, bus: EventBus): Promise<Way> => {
  const schema = `bench_${kind}`;
  const topic = `bench.${kind}`;
  await migrate(pool.options.connectionString!, schema);
  const store = new EventStore(pool, schema);
  await bus.ensureTopics([{ name: topic, partitions }]);
  const arrived = new Map<string, number>();
  const last = new Map<string, number>();
  let disordered = 0;
  const subscription = await bus.subscribe({
    group: `bench-${kind}`,
    topics: [topic],
    maxBatch: 500,
    handle: async (events) => {
      const now = performance.now();
      for (const event of events) {
        if (arrived.has(event.id)) continue; // at least once
        arrived.set(event.id, now);
        const before = last.get(event.subject) ?? 0;
        if (event.streamversion !== before + 1) disordered++;
        last.set(event.subject, event.streamversion!);
      }
    },
  });
  const relay = await startRelay({
    store,
    schema,
    bus,
    mode: 'auto',
    route: (event) => [{ topic, event: toCloudEvent(event, { context: 'bench' }) }],
  });
  return {
    name: kind,
    version,
    run: async (rate, ms) => {
      const committed = new Map<string, number>();
      disordered = 0;
      await openLoop(rate, ms, async (n) => {
        const id = uuid();
        await store.append({ stream: `stream-${n % streams}`, expected: 'any', events: [{ id, type, data: data(), meta: meta() }] });
        committed.set(id, performance.now());
      });
      for (const deadline = Date.now() + 15_000; Date.now() < deadline && [...committed.keys()].some((id) => !arrived.has(id));)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const run = { ...onTheWay(committed, arrived), disordered };
      arrived.clear();
      return run;
    },
    close: async () => {
      await relay.stop();
      await subscription.stop();
      await bus.close();
    },
  };
};

/** From the commit to the consumer; `lost`: never there. */
const onTheWay = (committed: ReadonlyMap<string, number>, arrived: ReadonlyMap<string, number>) => {
  const latencies = new Latencies();
  let lost = 0;
  for (const [id, at] of committed) {
    const there = arrived.get(id);
    if (there === undefined) lost++;
    // It may be there before the appender hears of its own commit.
    else latencies.record(Math.max(0, there - at));
  }
  return { p99: latencies.p99(), summary: latencies.summary(), lost };
};

/** kafkajs by itself: what is due goes in one request, the next when that is acknowledged, as an idempotent producer has to. */
const acknowledged = async (brokers: string[]): Promise<Way> => {
  const kafka = new Kafka({ clientId: 'bench-ack', brokers, logLevel: 0 });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: 'bench.ack', numPartitions: partitions }] });
  await admin.disconnect();
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const send = batching(producer, 'bench.ack');
  return {
    name: ack,
    version: (createRequire(import.meta.url)('kafkajs/package.json') as { version: string }).version,
    run: async (rate, ms) => {
      const latencies = new Latencies();
      await openLoop(rate, ms, async (n, intended) => {
        await send({
          key: `stream-${n % streams}`,
          value: JSON.stringify(data()),
          headers: { ce_id: uuid(), ce_type: type, ce_time: new Date().toISOString() },
        });
        latencies.record(performance.now() - intended);
      });
      return { p99: latencies.p99(), summary: latencies.summary(), lost: 0, disordered: 0 };
    },
    close: () => producer.disconnect(),
  };
};

type KafkaRecord = { key: string; value: string; headers: Record<string, string> };

const batching = (producer: Producer, topic: string): ((record: KafkaRecord) => Promise<void>) => {
  let waiting: { record: KafkaRecord; done: () => void; failed: (error: unknown) => void }[] = [];
  let busy = false;
  const pump = async (): Promise<void> => {
    busy = true;
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        await producer.send({ topic, acks: -1, messages: batch.map((b) => b.record) });
        for (const b of batch) b.done();
      } catch (error) {
        for (const b of batch) b.failed(error);
      }
    }
    busy = false;
  };
  return (record) =>
    new Promise((done, failed) => {
      waiting.push({ record, done, failed });
      if (!busy) void pump();
    });
};
