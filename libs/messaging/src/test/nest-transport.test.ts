import 'reflect-metadata';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import type { EventStore } from '@chrysalis/event-store';
import type { TemporaryDatabase } from '@chrysalis/testing';
import { createBus, listParked, type CloudEvent, type EventBus } from '../index.ts';
import { EventBusServer, PassFailures, type EventContext } from '../nest-transport.ts';
import { cloudEvent, effect, effects, openStore, until, upTo } from './support.ts';

const made = 'chrysalis.test.thing.made.v1';
const broken = 'chrysalis.test.thing.broken.v1';
const tries: string[] = [];

@Controller()
class Things {
  @EventPattern(made)
  async onMade(@Ctx() context: EventContext): Promise<void> {
    await effect('nest')(context.event, context.tx);
  }

  @EventPattern(broken)
  async onBroken(@Payload() event: CloudEvent): Promise<void> {
    tries.push(event.id);
    throw new Error('cannot be handled');
  }
}

@Module({ controllers: [Things] })
class ThingsModule {}

@Controller()
class Requests {
  @MessagePattern('ask')
  ask(): string {
    return 'answer';
  }
}

@Module({ controllers: [Requests] })
class RequestsModule {}

let db: TemporaryDatabase;
let store: EventStore;
let bus: EventBus;
beforeAll(async () => {
  ({ db, store } = await openStore());
  bus = createBus({ kind: 'embedded', pool: store.pool, connectionString: db.connectionString });
  await bus.ensureTopics([{ name: 'things', partitions: 2 }]);
});
afterAll(async () => {
  await bus?.close();
  await db?.drop();
});

test('handlers are @EventPattern methods; their failures and types nobody knows are parked, declared ones are left alone', async () => {
  const strategy = new EventBusServer({
    bus,
    store,
    consumer: 'nest',
    group: 'nest',
    topics: ['things'],
    attempts: 2,
    ignore: ['chrysalis.test.noise.*'],
  });
  const app = await NestFactory.createMicroservice(ThingsModule, { strategy, logger: false });
  app.useGlobalFilters(new PassFailures());
  await app.listen();
  const typed = (key: string, n: number, type: string): CloudEvent => ({ ...cloudEvent(key, n), type });
  const events = [
    ...upTo(5).map((n) => typed('fine', n, made)),
    typed('poison', 1, broken),
    typed('poison', 2, made),
    typed('noise', 1, 'chrysalis.test.noise.heard.v1'),
    typed('unknown', 1, 'chrysalis.test.thing.forgotten.v1'),
  ];
  await bus.publish(events.map((event) => ({ topic: 'things', event })));
  await bus.publish(events.map((event) => ({ topic: 'things', event }))); // again
  await until('three are parked', async () => (await listParked(store, { consumer: 'nest' })).length === 3);
  await until('the good ones are done', async () => (await effects(store, 'nest'))['fine']?.length === 5);
  expect(await effects(store, 'nest')).toEqual({ fine: upTo(5) });
  const reasons = Object.fromEntries(
    (await listParked(store, { consumer: 'nest' })).map((p) => [`${p.key} ${(p.event.data as { n: number }).n}`, p.reason]),
  );
  expect(reasons).toEqual({
    'poison 1': 'cannot be handled',
    'poison 2': `behind ${events[5]!.id}`,
    'unknown 1': 'no handler for chrysalis.test.thing.forgotten.v1 in nest',
  });
  expect(tries.length).toBeGreaterThanOrEqual(2);
  expect(strategy.health()).toEqual({ ok: true });
  await app.close();
  expect(strategy.health().ok).toBe(false);
});

test('requests are refused at the start, not at the first of them', async () => {
  const strategy = new EventBusServer({ bus, store, consumer: 'ask', group: 'ask', topics: ['things'] });
  const app = await NestFactory.createMicroservice(RequestsModule, { strategy, logger: false });
  await expect(app.listen()).rejects.toThrow('answers no requests');
  await app.close();
});
