import { expect, test } from '@jest/globals';
import { ConcurrentAppend } from '@chrysalis/event-store';
import { consume, listParked, Poison, requestRedrive } from '../../index.ts';
import { cloudEvent, count, effect, effects, numberOf, sleep, until, upTo } from '../support.ts';
import type { Rig } from './rig.ts';

/** What cannot be handled is parked with what follows under its key, and put back in order. */
export const parking = (now: () => Rig): void => {
  test('parks poison and what follows under its key; the partition goes on; redrive keeps order', async () => {
    const { store, topic, group, prepared, publish } = now();
    const consumer = `parking-${group}`;
    const bus = await prepared(1);
    let cured = false;
    let tries = 0;
    const run = effect(consumer);
    const consumption = await consume({
      bus,
      store,
      consumer,
      group,
      topics: [topic],
      attempts: 3,
      backoffMs: 5,
      handle: async (event, tx) => {
        if (event.subject === 'bad' && numberOf(event) === 3 && !cured) {
          tries++;
          await run(event, tx); // done, then failed: must not stay
          throw new Error('does not compute');
        }
        await run(event, tx);
      },
    });
    const events = upTo(8).flatMap((n) => ['bad', 'good'].map((key) => cloudEvent(key, n)));
    await publish(bus, events);
    await until('the good ones are done', async () => (await effects(store, consumer))['good']?.length === 8);
    expect((await effects(store, consumer))['bad']).toEqual([1, 2]);
    expect(tries).toBeGreaterThanOrEqual(3);
    await publish(bus, events.slice(4, 8)); // again: the parked stay parked once, the done stay done
    await publish(bus, [cloudEvent('bad', 9), cloudEvent('good', 9)]);
    await until('the next is parked too', async () => (await listParked(store, { consumer })).length === 7);
    const parked = await listParked(store, { consumer });
    expect(parked.map((p) => numberOf(p.event))).toEqual(upTo(9, 3));
    expect(parked[0]).toMatchObject({ key: 'bad', topic, reason: 'does not compute', attempts: 3 });
    expect(parked[1]!.reason).toBe(`behind ${parked[0]!.eventId}`);

    await consumption.redrive(); // still poison: it stays, and so does the rest
    expect((await listParked(store, { consumer }))[0]).toMatchObject({ attempts: 4 });
    expect(await listParked(store, { consumer })).toHaveLength(7);
    cured = true;
    expect(await requestRedrive(store, { consumer, key: 'bad' })).toBe(7);
    await until('all redriven', async () => (await listParked(store, { consumer })).length === 0);
    await publish(bus, [cloudEvent('bad', 10)]);
    await until('the key flows again', async () => (await effects(store, consumer))['bad']?.length === 10);
    expect(await effects(store, consumer)).toEqual({ bad: upTo(10), good: upTo(9) });
    await consumption.stop();
  }, 60_000);

  test('a redrive that meets contention is done all the same, and its event has no further fault', async () => {
    const { store, topic, group, prepared, publish } = now();
    const consumer = `redrive-contended-${group}`;
    const bus = await prepared(1);
    let state: 'poison' | 'contended' | 'cured' = 'poison';
    const run = effect(consumer);
    const handle: Parameters<typeof consume>[0]['handle'] = async (event, tx) => {
      if (state === 'poison') throw new Poison('not yet');
      if (state === 'contended') {
        state = 'cured';
        throw new ConcurrentAppend(['hot']);
      }
      await run(event, tx);
    };
    const consumption = await consume({ bus, store, consumer, group, topics: [topic], handle });
    await publish(
      bus,
      upTo(3).map((n) => cloudEvent('k', n)),
    );
    await until('all parked', async () => (await listParked(store, { consumer })).length === 3);
    state = 'contended';
    expect(await consumption.redrive('k')).toEqual({ redriven: 3, failed: 0 });
    expect(await effects(store, consumer)).toEqual({ k: upTo(3) });
    await consumption.stop();
  });

  test('events that arrive while their key is redriven come after it', async () => {
    const { store, topic, group, prepared, publish } = now();
    const consumer = `redrive-${group}`;
    const bus = await prepared(1);
    let cured = false;
    const run = effect(consumer);
    const handle: Parameters<typeof consume>[0]['handle'] = async (event, tx) => {
      if (!cured) throw new Poison('not yet');
      await sleep(2);
      await run(event, tx);
    };
    const consumption = await consume({ bus, store, consumer, group, topics: [topic], handle });
    await publish(
      bus,
      upTo(40).map((n) => cloudEvent('k', n)),
    );
    await until('all parked', async () => (await listParked(store, { consumer })).length === 40);
    cured = true;
    const redriving = consumption.redrive('k');
    for (const n of upTo(80, 41)) await publish(bus, [cloudEvent('k', n)]);
    await redriving;
    await until('all done', async () => {
      await consumption.redrive();
      return (await count(store, consumer)) === 80;
    });
    expect(await effects(store, consumer)).toEqual({ k: upTo(80) });
    await consumption.stop();
  }, 60_000);
};
