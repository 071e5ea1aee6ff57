import { randomUUID } from 'node:crypto';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Server } from '@nestjs/microservices';
import { eventsTopic, provisioningEvents, type DataOf } from '@chrysalis/contracts';
import { consume, type CloudEvent } from '@chrysalis/messaging';
import {
  Consumer,
  failpoint,
  messageContext,
  metaOfEvent,
  newSigningKey,
  OnEvent,
  startService,
  type EventContext,
  type RunningService,
  type ServiceContext,
} from '@chrysalis/service-kit';
import { startPostgres } from '../../infra/postgres/launcher.ts';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';

const { vmDeleted, vmMoveEnded } = provisioningEvents;
const topic = eventsTopic('provisioning');
const events = 1_000;
const turns = 16;
const calls = 200_000;
const slower = 0.05;

let handled = 0;
const effect = async (tx: { query(sql: string, values: unknown[]): Promise<unknown> }, vmId: string): Promise<void> => {
  await tx.query('update provisioning.effects set last = $1', [vmId]);
  handled++;
};

@Consumer('methods')
class Methods {
  @OnEvent(vmDeleted)
  async gone({ vmId }: DataOf<typeof vmDeleted>, { tx }: EventContext): Promise<void> {
    await effect(tx, vmId);
  }
}

/**
 * What it costs that handlers are Nest's. Events consumed a second, each with one statement and once only (a batch is one transaction with
 * its inbox rows), by a method behind the strategy and by a function given to `consume`, in short turns on the same bus, so that what else the machine does
 * meets both; and the call alone,
 * through what Nest puts around a method, and direct.
 */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  const postgres = await startPostgres();
  const key = await newSigningKey();
  const running = await startMethods(postgres.connectionString, key.publicJwk as Record<string, unknown>);
  const { bus } = running.service;
  const value = await startValues(running.service);
  const consumed = async (type: string): Promise<number> => {
    handled = 0;
    const began = performance.now();
    for (let sent = 0; sent < events; sent += 500) await bus.publish(Array.from({ length: 500 }, () => ({ topic, event: told(type) })));
    while (handled < events) await new Promise((r) => setTimeout(r, 1));
    return events / ((performance.now() - began) / 1000);
  };
  try {
    const call = await callsOf();
    const results = { methods: [] as number[], values: [] as number[], through: [] as number[], direct: [] as number[] };
    const ratios: number[] = [];
    const take = async (turn: number): Promise<void> => {
      const order = [vmDeleted.type, vmMoveEnded.type];
      const speed = new Map<string, number>();
      for (const type of turn % 2 ? order.toReversed() : order) speed.set(type, await consumed(type));
      results.methods.push(speed.get(vmDeleted.type)!);
      results.values.push(speed.get(vmMoveEnded.type)!);
      ratios.push(results.methods.at(-1)! / results.values.at(-1)!);
    };
    for (let turn = 0; turn < turns; turn++) await consumed(turn % 2 ? vmDeleted.type : vmMoveEnded.type);
    for (let round = 1; round <= rounds; round++) {
      for (let turn = 0; turn < turns; turn++) await take(turn);
      results.through.push(await perSecond(call.through));
      results.direct.push(await perSecond(call.direct));
      const [through, direct] = [results.through, results.direct].map((r) => Math.round(r.at(-1)!));
      const ratio = median(ratios.slice(-turns)).toFixed(3);
      progress(`round ${round}: by methods ${ratio} times as fast as by values; calls: ${through}/s through Nest, ${direct}/s direct`);
    }
    const micros = 1e6 / median(results.through) - 1e6 / median(results.direct);
    return report(
      'handlers',
      rounds,
      { postgres: postgres.version },
      [
        contender('consumed by methods', 'Nest', 'events/s', results.methods),
        contender('consumed by values', 'direct', 'events/s', results.values),
        contender('calls through Nest', 'Nest', 'calls/s', results.through),
        contender('calls direct', 'direct', 'calls/s', results.direct),
      ],
      [
        target('events/s by methods for one by values, of a turn of each', median(ratios), '>=', 1 - slower),
        target('microseconds that Nest adds to a call', micros, '<=', 20),
      ],
    );
  } finally {
    await value.stop();
    await running.stop();
    await postgres.stop();
  }
};

const told = (type: string): CloudEvent => {
  const vmId = `vm-${randomUUID()}`;
  return {
    specversion: '1.0',
    id: randomUUID(),
    source: '/chrysalis/bench',
    type,
    subject: vmId,
    time: new Date().toISOString(),
    partitionkey: vmId,
    datacontenttype: 'application/json',
    correlationid: vmId,
    actor: 'bench',
    tenant: 'main',
    streamversion: 1,
    data: type === vmDeleted.type ? { vmId } : { vmId, moveId: 'm', outcome: 'succeeded' },
  };
};

type Call = () => Promise<unknown>;

/** The same method, as Nest hands it to a strategy and as it is. */
const callsOf = async (): Promise<{ through: Call; direct: Call }> => {
  class Collecting extends Server {
    listen(): void {}
    close(): void {}
    on(): void {}
    unwrap<T>(): T {
      return this as never;
    }
  }
  class Root {}
  Module({ controllers: [Methods] })(Root);
  const strategy = new Collecting();
  const app = await NestFactory.createMicroservice(Root, { strategy, logger: false });
  await app.init();
  const handler = strategy.getHandlers().get(vmDeleted.type)!;
  const data = { vmId: 'vm-1' };
  const context = { tx: { query: async () => undefined } } as never;
  const methods = new Methods();
  return { through: () => handler(data, context), direct: () => methods.gone(data, context) };
};

const perSecond = async (call: Call): Promise<number> => {
  const began = performance.now();
  for (let i = 0; i < calls; i++) await call();
  return calls / ((performance.now() - began) / 1000);
};

/** The service whose methods are Nest's. */
const startMethods = (databaseUrl: string, tokenKey: Record<string, unknown>): Promise<RunningService> =>
  startService(
    { databaseUrl, bus: { kind: 'embedded' }, port: 0, listen: '127.0.0.1', tokenKey, instance: '1', poolSize: 8 },
    {
      context: 'provisioning',
      schema: 'provisioning',
      migrations: [{ number: 1001, name: 'effects', sql: 'create table effects (last text)' }],
      handlers: [Methods],
    },
  );

/** The same effect by a function on the same bus. */
const startValues = (service: ServiceContext): ReturnType<typeof consume> =>
  consume({
    bus: service.bus,
    store: service.store,
    consumer: 'bench.values',
    group: 'bench.values',
    topics: [topic],
    wants: ({ type }) => type === vmMoveEnded.type,
    handle: async (event, tx) => {
      await failpoint('consumer:values:before', { type: event.type });
      const context: EventContext = { ...messageContext(service, tx, metaOfEvent(service, event)), event };
      await effect(context.tx, vmMoveEnded.schema.parse(event.data).vmId);
    },
  });
