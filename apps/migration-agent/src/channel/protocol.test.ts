import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { GuestError } from '@chrysalis/contracts';
import { random } from '@chrysalis/testing';
import fc from 'fast-check';
import { channelTo, closeAll, facts, guestWith, within } from '../test/guest-line.ts';

afterEach(closeAll);

test('commands are answered, errors keep their code, outputs that break their schema do not pass', async () => {
  const channel = await channelTo(guestWith());
  expect(await channel.command('online-cpus', { vcpus: 2 }, { id: 'a', ...within })).toEqual({ online: 2 });
  expect((await channel.command('facts', {}, { id: 'b', ...within })).facts).toEqual(facts);
  await expect(channel.command('characterise', {}, { id: 'c', ...within })).rejects.toMatchObject({ code: 'guest.failed' });
  await expect(channel.command('grow-filesystem', { disk: 'data' }, { id: 'd', ...within })).rejects.toMatchObject({
    code: 'guest.failed',
  });
  await expect(channel.command('online-cpus', { vcpus: -1 }, { id: 'e', ...within })).rejects.toMatchObject({
    code: 'guest.input_invalid',
  });
});

test('a command and its answer take a few milliseconds', async () => {
  const channel = await channelTo(guestWith());
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const started = performance.now();
    await channel.command('online-memory', { memoryMiB: 1 }, { id: `t${i}`, ...within });
    times.push(performance.now() - started);
  }
  // Nothing on its way waits for a clock: that shows in the quickest, also on a busy machine.
  expect(times.sort((a, b) => a - b)[5]).toBeLessThan(10);
});

describe('grants', () => {
  test('no session without one', async () => {
    await expect(channelTo(guestWith(), { grant: 'bad' })).rejects.toMatchObject({ code: 'grant.signature_invalid' });
  });
  test('each command needs its action', async () => {
    const guest = guestWith({ allowed: ['add-agent', 'characterise'] });
    const channel = await channelTo(guest);
    await channel.command('facts', {}, { id: 'a', ...within });
    const script = { script: 'x', timeoutMs: 1, maxOutputBytes: 1 };
    await expect(channel.command('run-script', script, { id: 'b', ...within })).rejects.toMatchObject({ code: 'grant.action_not_named' });
    await expect(channel.command('online-cpus', { vcpus: 1 }, { id: 'c', ...within })).rejects.toMatchObject({
      code: 'grant.action_not_named',
    });
    expect(guest.executed).toEqual(['facts ']);
  });
});

describe('idempotency', () => {
  test('the same id gives the kept result, in this session and in the next one', async () => {
    const guest = guestWith();
    const first = await channelTo(guest);
    for (let i = 0; i < 3; i++) expect(await first.command('online-cpus', { vcpus: 3 }, { id: 'once', ...within })).toEqual({ online: 3 });
    first.close();
    const second = await channelTo(guest);
    expect(await second.command('online-cpus', { vcpus: 3 }, { id: 'once', ...within })).toEqual({ online: 3 });
    expect(guest.executed).toEqual(['cpus 3']);
    await expect(second.command('online-cpus', { vcpus: 4 }, { id: 'once', ...within })).rejects.toMatchObject({
      code: 'guest.idempotency_conflict',
    });
  });

  test('a new host takes over a command that is still running: one execution, one result', async () => {
    const guest = guestWith();
    const source = await channelTo(guest);
    const script = { script: 'long', timeoutMs: 1_000, maxOutputBytes: 10 };
    const lost = source.command('run-script', script, { id: 'move', ...within }).catch((e: GuestError) => e.code);
    await sleep(40);
    source.close();
    const target = await channelTo(guest);
    expect(await target.command('run-script', script, { id: 'move', ...within })).toMatchObject({ exitCode: 0 });
    expect(await lost).toBe('guest.unreachable');
    expect(guest.executed).toEqual(['script long']);
  });

  test('another agent process: what aims at a state is asked again, a script is not', async () => {
    const guest = guestWith();
    const channel = await channelTo(guest);
    const script = channel
      .command('run-script', { script: 's', timeoutMs: 1, maxOutputBytes: 1 }, { id: 's', ...within })
      .catch((e: GuestError) => e.code);
    await sleep(30);
    guest.restart();
    guest.hang();
    const cpus = channel.command('online-cpus', { vcpus: 2 }, { id: 'c', ...within });
    expect(await cpus).toEqual({ online: 2 });
    expect(await script).toBe('guest.agent_restarted');
  });

  test('a result that had to be forgotten is not made again', async () => {
    const guest = guestWith();
    const channel = await channelTo(guest);
    for (let i = 0; i < 1_001; i += 50)
      await Promise.all(
        Array.from({ length: Math.min(50, 1_001 - i) }, (_, k) =>
          channel.command('online-memory', { memoryMiB: 1 }, { id: `m${i + k}`, ...within }),
        ),
      );
    const before = guest.executed.length;
    await expect(channel.command('online-memory', { memoryMiB: 1 }, { id: 'm0', ...within })).rejects.toMatchObject({
      code: 'guest.result_forgotten',
    });
    expect(await channel.command('online-memory', { memoryMiB: 1 }, { id: 'm1000', ...within })).toEqual({ onlineMiB: 1 });
    expect(guest.executed.length).toBe(before);
  });
});

test('five scripts at once are one too many; a deadline cancels', async () => {
  const channel = await channelTo(guestWith());
  const input = { script: 'x', timeoutMs: 1, maxOutputBytes: 1 };
  const all = await Promise.allSettled(
    Array.from({ length: 5 }, (_, i) => channel.command('run-script', input, { id: `p${i}`, ...within })),
  );
  expect(all.filter((r) => r.status === 'rejected').map((r) => (r.reason as GuestError).code)).toEqual(['guest.busy']);
  await expect(channel.command('run-script', input, { id: 'late', timeoutMs: 20 })).rejects.toMatchObject({ code: 'guest.timeout' });
});

test('shutdown is answered and then the agent ends', async () => {
  const guest = guestWith({ allowed: ['add-agent'] });
  const channel = await channelTo(guest);
  await channel.command('shutdown', {}, { id: 'bye', ...within });
  for (let i = 0; !guest.ended && i < 50; i++) await sleep(20);
  expect(guest.ended).toBe(true);
});

test('over a line that loses frames and connections every command is executed once and answered', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 25 }), async (seed, percent) => {
      const guest = guestWith({ chance: random(seed), loss: percent / 100 });
      const channel = await channelTo(guest, { timeoutMs: 20_000 });
      const n = 30;
      const results = await Promise.all(
        Array.from({ length: n }, (_, i) => channel.command('online-cpus', { vcpus: i + 1 }, { id: `c${i}`, timeoutMs: 20_000 })),
      );
      expect(results.map((r) => r.online)).toEqual(Array.from({ length: n }, (_, i) => i + 1));
      expect([...guest.executed].sort()).toEqual(Array.from({ length: n }, (_, i) => `cpus ${i + 1}`).sort());
      channel.close();
      guest.end();
    }),
    { numRuns: 8 },
  );
});
