import { randomUUID } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FrameDecoder, GuestLink, encodeFrame, type LinkFrame } from './guest-link.ts';
import { AgentFrame, HostFrame, MAX_GUEST_FRAME_BYTES } from './guest-protocol.ts';

const json = fc.jsonValue().map((v) => JSON.parse(JSON.stringify(v)) as unknown);

describe('frames', () => {
  test('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(json, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (values, cuts) => {
        const stream = Buffer.concat(values.map(encodeFrame));
        const decoder = new FrameDecoder();
        const out: unknown[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const end = at + cuts[i % cuts.length]!;
          out.push(...decoder.push(stream.subarray(at, end)));
          at = end;
        }
        expect(out).toEqual(values);
        expect(decoder.damaged).toBe(0);
      }),
    );
  });

  test('after a piece was lost, the next whole frame is found, and nothing is made up', () => {
    fc.assert(
      fc.property(fc.array(json, { minLength: 2, maxLength: 6 }), fc.nat(), fc.nat(), (values, from, length) => {
        const frames = values.map(encodeFrame);
        const stream = Buffer.concat(frames);
        const start = from % stream.length;
        const lossy = Buffer.concat([stream.subarray(0, start), stream.subarray(start + 1 + (length % 30))]);
        const decoder = new FrameDecoder();
        const out = decoder.push(Buffer.concat([lossy, encodeFrame('end')]));
        expect(out.at(-1)).toBe('end');
        const sent = values.map((v) => JSON.stringify(v));
        for (const o of out.slice(0, -1)) expect(sent).toContain(JSON.stringify(o));
      }),
    );
  });

  test('whatever bytes come: no throw, at most one frame is held, the schemas hold', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom('\x1e', '\n', '\x1e\x1e\x1e', '\x1e00000000 {}\n').map((s) => Buffer.from(s)),
      json.map((v) => encodeFrame(v)),
    );
    fc.assert(
      fc.property(fc.array(noise, { maxLength: 30 }), (chunks) => {
        const decoder = new FrameDecoder();
        for (const c of chunks)
          for (const frame of decoder.push(Buffer.from(c))) {
            HostFrame.safeParse(frame);
            AgentFrame.safeParse(frame);
          }
      }),
      { numRuns: 500 },
    );
  });

  test('a frame without end is dropped at the limit; a chunk of delimiters costs no more than its length', () => {
    const decoder = new FrameDecoder();
    expect(decoder.push(Buffer.concat([Buffer.from('\x1e'), Buffer.alloc(MAX_GUEST_FRAME_BYTES + 1, 0x61)]))).toEqual([]);
    expect(decoder.damaged).toBe(1);
    const before = process.cpuUsage();
    decoder.push(Buffer.alloc(1 << 20, 0x1e));
    expect(process.cpuUsage(before).user).toBeLessThan(1_000_000); // of the CPU: the machine may be busy with others
    expect(decoder.push(encodeFrame(1))).toEqual([1]);
    expect(() => encodeFrame('x'.repeat(MAX_GUEST_FRAME_BYTES))).toThrow(RangeError);
  });
});

type Fault = 'pass' | 'drop' | 'twice' | 'late';
const faults = fc.array(fc.constantFrom<Fault>('pass', 'pass', 'drop', 'twice', 'late'), { minLength: 1, maxLength: 60 });

describe('a link', () => {
  test('delivers each message once and in order over a line that drops, doubles, reorders and reconnects', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 100 }),
        faults,
        fc.integer({ min: 2, max: 9 }),
        (toB, toA, script, resume) => {
          const line = new Line(script);
          for (let i = 1; i <= toB; i++) line.a.post(i, 0);
          for (let i = 1; i <= toA; i++) line.b.post(-i, 0);
          for (let round = 0; line.busy() && round < 2_000; round++) line.turn(round, round % resume === 0);
          expect(line.atB).toEqual(Array.from({ length: toB }, (_, i) => i + 1));
          expect(line.atA).toEqual(Array.from({ length: toA }, (_, i) => -1 - i));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('an acknowledgement of what was never sent, another session and repeated frames change nothing', () => {
    const session = randomUUID();
    const sent: LinkFrame[] = [];
    const got: unknown[] = [];
    const link = new GuestLink({ session, send: (f) => sent.push(f), deliver: (b) => got.push(b) });
    link.post('a', 0);
    link.receive({ t: 'ack', session, ack: 7 }, 0);
    link.receive({ t: 'msg', session: randomUUID(), seq: 1, ack: 1, body: 'foreign' }, 0);
    expect(link.waiting).toBe(true);
    for (let i = 0; i < 3; i++) link.receive({ t: 'msg', session, seq: 1, ack: 0, body: 'x' }, 0);
    link.receive({ t: 'msg', session, seq: 3, ack: 0, body: 'z' }, 0);
    expect(got).toEqual(['x']);
    expect(link.received).toBe(1);
  });
});

/** Two ends and what is between them; the script of faults repeats, but ends with a pass so that something gets through. */
class Line {
  readonly atA: unknown[] = [];
  readonly atB: unknown[] = [];
  readonly a: GuestLink;
  readonly b: GuestLink;
  private now = 0;
  private step = 0;
  private flying: { to: 'a' | 'b'; frame: LinkFrame }[] = [];
  private late: { to: 'a' | 'b'; frame: LinkFrame }[] = [];
  private readonly script: readonly Fault[];
  constructor(script: readonly Fault[]) {
    this.script = [...script, 'pass'];
    const session = randomUUID();
    this.a = new GuestLink({ session, send: (f) => this.flying.push({ to: 'b', frame: f }), deliver: (m) => this.atA.push(m) });
    this.b = new GuestLink({ session, send: (f) => this.flying.push({ to: 'a', frame: f }), deliver: (m) => this.atB.push(m) });
  }
  busy(): boolean {
    return this.a.waiting || this.b.waiting || this.flying.length > 0;
  }
  turn(round: number, resume: boolean): void {
    this.now += 97;
    const batch = [...this.flying, ...this.late];
    this.flying = [];
    this.late = [];
    for (const item of batch) this.cross(item, round);
    if (resume) {
      this.a.resume(this.b.received, this.now);
      this.b.resume(this.a.received, this.now);
    }
    this.a.tick(this.now);
    this.b.tick(this.now);
  }
  private cross(item: { to: 'a' | 'b'; frame: LinkFrame }, round: number): void {
    const fault = round > 1_000 ? 'pass' : this.script[this.step++ % this.script.length]!;
    if (fault === 'late') this.late.push(item);
    if (fault === 'pass' || fault === 'twice') this[item.to].receive(item.frame, this.now);
    if (fault === 'twice') this[item.to].receive(item.frame, this.now);
  }
}
