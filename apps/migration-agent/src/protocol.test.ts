import { randomUUID } from 'node:crypto';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { GuestError, encodeFrame } from '@chrysalis/contracts';
import { AgentChannel } from '@chrysalis/hypervisor';
import fc from 'fast-check';
import type { Grant } from './grant.ts';
import { AgentServer, type Handlers } from './server.ts';

const actions: Grant['claims']['actions'] = ['add-agent', 'characterise', 'reconfigure', 'run-script'];
const grant = (allowed = actions): Grant => ({
  claims: { jti: 'g', iss: 'acme', iat: 0, exp: 4e9, vms: ['vm-1'], packages: [], uses: 1, actions: allowed },
});
const facts = {
  bootId: randomUUID(),
  uptimeSeconds: 1,
  os: { id: 'x', version: '1', kernel: '6' },
  vcpus: 1,
  memoryMiB: 1,
  disks: [],
  fileSystems: [],
  nics: [],
};

/** A real agent server and a line to it as virtio-serial is: with no host connected, what the guest writes is gone. */
class Guest {
  executed: string[] = [];
  ended = false;
  private host: Duplex | undefined;
  server = this.start();
  private readonly ticking = setInterval(() => this.server.tick(), 20);
  private readonly chance: () => number;
  private readonly loss: number;
  private readonly allowed: typeof actions;
  constructor(o: { chance?: () => number; loss?: number; allowed?: typeof actions } = {}) {
    this.chance = o.chance ?? ((): number => 1);
    this.loss = o.loss ?? 0;
    this.allowed = o.allowed ?? actions;
  }

  private start(): AgentServer {
    const record =
      (name: string, ms = 0) =>
      async (input: { vcpus?: number; memoryMiB?: number; script?: string }): Promise<Record<string, unknown>> => {
        this.executed.push(`${name} ${input.vcpus ?? input.memoryMiB ?? input.script ?? ''}`);
        await sleep(ms);
        return {
          online: input.vcpus ?? 0,
          onlineMiB: input.memoryMiB ?? 0,
          exitCode: 0,
          stdout: '',
          stderr: '',
          truncated: false,
          ms: 1,
          facts,
        };
      };
    const never = (): Promise<never> => Promise.reject(new Error('no'));
    const handlers: Handlers = {
      characterise: never,
      facts: record('facts'),
      verify: never,
      'online-cpus': record('cpus', 1),
      'offline-cpus': record('offline'),
      'online-memory': record('memory'),
      'grow-filesystem': async () => ({ beforeBytes: 'many' }),
      'run-script': record('script', 150),
      shutdown: async () => ({}),
    };
    return new AgentServer({
      identity: { version: '1', instance: randomUUID(), package: `sha256:${'0'.repeat(64)}` },
      handlers,
      verify: async (jws) => {
        if (jws !== 'good') throw new GuestError('grant.invalid', 'the signature does not hold');
        return grant(this.allowed);
      },
      write: (frame) => void this.toHost(frame),
      ended: () => (this.ended = true),
      clock: { monotonicMs: () => performance.now(), epochMs: () => Date.now() },
    });
  }

  restart(): void {
    this.server = this.start();
  }
  private toHost(bytes: Buffer): void {
    if (!this.host || this.host.destroyed) return;
    if (this.chance() < this.loss) this.cut(bytes);
    else this.host.push(bytes);
  }
  /** The line is lost in the middle of a frame, or a piece of it is damaged. */
  private cut(bytes: Buffer): void {
    const half = bytes.subarray(0, Math.floor(this.chance() * bytes.length));
    if (half.length > 0) this.host!.push(half);
    if (this.chance() < 0.5) this.host!.destroy();
  }
  connect = async (): Promise<Duplex> => {
    this.host?.destroy();
    const host: Duplex = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _, done) => {
        const lost = this.chance() < this.loss;
        if (!lost && this.host === host) setImmediate(() => this.server.receive(chunk));
        if (lost && this.chance() < 0.5) host.destroy();
        done();
      },
    });
    host.on('error', () => undefined);
    this.host = host;
    return host;
  };
  hang(): void {
    this.host?.destroy();
  }
  end(): void {
    clearInterval(this.ticking);
    this.host?.destroy();
  }
}

const open: { end?: () => void; close?: () => void }[] = [];
afterEach(() => {
  for (const o of open.splice(0)) {
    o.end?.();
    o.close?.();
  }
});
const guestWith = (o?: ConstructorParameters<typeof Guest>[0]): Guest => {
  const guest = new Guest(o);
  open.push(guest);
  return guest;
};
const channelTo = async (guest: Guest, over: { grant?: string; timeoutMs?: number; session?: string } = {}): Promise<AgentChannel> => {
  const channel = await AgentChannel.open({ connect: guest.connect, vmId: 'vm-1', grant: 'good', timeoutMs: 5_000, ...over });
  open.push(channel);
  return channel;
};
const within = { timeoutMs: 10_000 };

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
  expect(times.sort((a, b) => a - b)[25]).toBeLessThan(10);
});

describe('grants', () => {
  test('no session without one', async () => {
    await expect(channelTo(guestWith(), { grant: 'bad' })).rejects.toMatchObject({ code: 'grant.invalid' });
  });
  test('each command needs its action', async () => {
    const guest = guestWith({ allowed: ['add-agent', 'characterise'] });
    const channel = await channelTo(guest);
    await channel.command('facts', {}, { id: 'a', ...within });
    const script = { script: 'x', timeoutMs: 1, maxOutputBytes: 1 };
    await expect(channel.command('run-script', script, { id: 'b', ...within })).rejects.toMatchObject({ code: 'grant.action_not_allowed' });
    await expect(channel.command('online-cpus', { vcpus: 1 }, { id: 'c', ...within })).rejects.toMatchObject({
      code: 'grant.action_not_allowed',
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
      const guest = guestWith({ chance: mulberry(seed), loss: percent / 100 });
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
}, 60_000);

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
        const channel = await AgentChannel.open({
          connect: async () => (host = await guest.connect()),
          vmId: 'vm-1',
          grant: 'good',
          timeoutMs: 5_000,
          session,
        });
        open.push(channel);
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
  }, 60_000);

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
    const channel = await AgentChannel.open({
      connect: async () => (host = await guest.connect()),
      vmId: 'vm-1',
      grant: 'good',
      timeoutMs: 5_000,
    });
    open.push(channel);
    await sleep(120); // a flood after a silence is a flood all the same
    const asked = channel.command('run-script', { script: 'x', timeoutMs: 1, maxOutputBytes: 1 }, { id: 'x', timeoutMs: 5_000 });
    host!.push(Buffer.alloc(200_000, 0x1e));
    await expect(asked).rejects.toMatchObject({ code: 'guest.protocol_violation' });
    expect(channel.isClosed).toBe(true);
  });
});

/** A small seeded generator, so that a failure can be repeated. */
function mulberry(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
