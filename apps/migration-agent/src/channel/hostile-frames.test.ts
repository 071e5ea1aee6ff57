import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { GuestError, encodeFrame } from '@chrysalis/contracts';
import fc from 'fast-check';
import { channelTo, closeAll, guestWith } from '../test/guest-line.ts';

afterEach(closeAll);

describe('hostile frames', () => {
  const session = randomUUID();
  const strange = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
    fc.jsonValue().map((v) => encodeFrame(v)),
    fc
      .record({
        t: fc.constantFrom('hello', 'open', 'opened', 'refused', 'msg', 'ack', 'ping', '__proto__'),
        session: fc.constantFrom(session, randomUUID(), 'x'),
        seq: fc.oneof(fc.integer(), fc.double(), fc.constant(1)),
        ack: fc.oneof(fc.integer(), fc.constant(Number.MAX_SAFE_INTEGER)),
        body: fc.oneof(
          fc.jsonValue(),
          fc.record({
            type: fc.constantFrom('result', 'progress', 'command', 'cancel'),
            id: fc.constantFrom('v', '__proto__'),
            outcome: fc.jsonValue(),
            name: fc.constantFrom('facts', 'constructor', 'toString'),
            input: fc.jsonValue(),
          }),
        ),
        cause: fc.record({ code: fc.string(), message: fc.string() }),
        agent: fc.jsonValue(),
        grant: fc.constantFrom('good', 'bad'),
        vmId: fc.constantFrom('vm-1', '../x'),
        protocol: fc.jsonValue(),
        at: fc.integer(),
      })
      .map((v) => encodeFrame(v)),
  );

  test('from a guest: the channel goes on or closes with a code, never throws, and does not believe a made-up result', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(strange, { maxLength: 40 }), async (frames) => {
        const guest = guestWith();
        let host: Duplex | undefined;
        const channel = await channelTo(guest, { connect: async () => (host = await guest.connect()), session });
        const asked = channel.command('online-cpus', { vcpus: 2 }, { id: 'v', timeoutMs: 3_000 }).catch((e: GuestError) => e);
        for (const f of frames) if (!host!.destroyed) host!.push(f);
        const got = await asked;
        if (got instanceof Error) expect(got).toBeInstanceOf(GuestError);
        else expect(typeof got.online).toBe('number');
        channel.close();
        guest.end();
      }),
      { numRuns: 60 },
    );
  });

  test('from a host: without a grant nothing is executed, whatever comes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          strange.filter((f) => !f.includes('"grant":"good"')),
          { maxLength: 40 },
        ),
        async (frames) => {
          const guest = guestWith();
          for (const f of frames) guest.server.receive(f);
          await sleep(0);
          expect(guest.executed).toEqual([]);
          guest.end();
        },
      ),
      { numRuns: 100 },
    );
  });

  test('a flood of rubbish closes the channel with its reason', async () => {
    const guest = guestWith();
    let host: Duplex | undefined;
    const channel = await channelTo(guest, { connect: async () => (host = await guest.connect()) });
    await sleep(120); // a flood after a silence is a flood all the same
    const asked = channel.command('run-script', { script: 'x', timeoutMs: 1, maxOutputBytes: 1 }, { id: 'x', timeoutMs: 5_000 });
    host!.push(Buffer.alloc(200_000, 0x1e));
    await expect(asked).rejects.toMatchObject({ code: 'guest.protocol_violation' });
    expect(channel.isClosed).toBe(true);
  });
});
