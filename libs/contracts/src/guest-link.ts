import { crc32 } from 'node:zlib';
import { GUEST_WINDOW, MAX_GUEST_FRAME_BYTES } from './guest-protocol.ts';

/**
 * A frame is RS, eight hex digits of CRC-32, a blank, JSON, LF. JSON has neither RS nor LF, so that a reader that comes in the middle
 * finds the next start; the checksum catches two halves that fit together by chance after something was dropped between them.
 */
const RS = 0x1e;
const LF = 0x0a;
/** Delimiters and checksum. */
const OVERHEAD = 11;

/** Throws a RangeError for what is longer than a frame may be: callers bound their messages. */
export const encodeFrame = (frame: unknown): Buffer => {
  const json = Buffer.from(JSON.stringify(frame));
  if (json.length + OVERHEAD > MAX_GUEST_FRAME_BYTES) throw new RangeError(`a frame of ${json.length + OVERHEAD} bytes`);
  const head = `\x1e${crc32(json).toString(16).padStart(8, '0')} `;
  return Buffer.concat([Buffer.from(head), json, Buffer.of(LF)]);
};

/** Cuts a stream into frames. Keeps at most one frame; whatever is not a frame is counted and dropped. */
export class FrameDecoder {
  private parts: Buffer[] = [];
  private size = 0;
  private inFrame = false;
  /** Where the next LF of this chunk is: looked for once, or a chunk of delimiters would cost its length squared. */
  private lineEnd = -1;
  damaged = 0;

  push(chunk: Buffer): unknown[] {
    const frames: unknown[] = [];
    this.lineEnd = -1;
    for (let at = 0; at < chunk.length;) at = this.inFrame ? this.inside(chunk, at, frames) : this.outside(chunk, at);
    return frames;
  }

  /** A new connection: what came over the old one is not the beginning of what comes now. */
  reset(): void {
    this.parts = [];
    this.size = 0;
    this.inFrame = false;
  }

  private outside(chunk: Buffer, at: number): number {
    const start = chunk.indexOf(RS, at);
    if (start < 0) return chunk.length;
    this.reset();
    this.inFrame = true;
    return start + 1;
  }

  private inside(chunk: Buffer, at: number, frames: unknown[]): number {
    if (this.lineEnd < at) {
      const found = chunk.indexOf(LF, at);
      this.lineEnd = found < 0 ? chunk.length : found;
    }
    const end = this.lineEnd;
    const part = chunk.subarray(at, end);
    const restart = part.indexOf(RS);
    if (restart >= 0) {
      this.drop();
      return at + restart;
    }
    this.size += part.length;
    if (this.size + 2 > MAX_GUEST_FRAME_BYTES) {
      this.drop();
      return at + part.length;
    }
    this.parts.push(part);
    if (end === chunk.length) return end;
    const frame = decode(this.parts.length === 1 ? part : Buffer.concat(this.parts));
    this.reset();
    if (frame === undefined) this.damaged++;
    else frames.push(frame);
    return end + 1;
  }

  private drop(): void {
    this.damaged++;
    this.reset();
  }
}

const decode = (bytes: Buffer): unknown => {
  const json = bytes.subarray(9);
  if (bytes[8] !== 0x20 || bytes.toString('latin1', 0, 8) !== crc32(json).toString(16).padStart(8, '0')) return undefined;
  try {
    return JSON.parse(json.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
};

type Message = { t: 'msg'; session: string; seq: number; ack: number; body: unknown };
export type LinkFrame = Message | { t: 'ack' | 'ping'; session: string; ack: number };

const FIRST_RESEND_MS = 100;
const LAST_RESEND_MS = 2_000;
const MAX_BACKLOG = 1_024;

/**
 * One end of a session: messages arrive once and in order however often the connection is lost, as long as it comes back.
 * Go-back-N: out of order is not kept, so that a hostile peer can make us hold nothing. Pure but for `send` and `deliver`;
 * the owner calls `tick` while `waiting`.
 */
export class GuestLink {
  private readonly out: { seq: number; body: unknown }[] = [];
  private sent = 0;
  private lastSeq = 0;
  private delivered = 0;
  private resendMs = FIRST_RESEND_MS;
  private resendAt = 0;
  private readonly session: string;
  private readonly send: (frame: LinkFrame) => void;
  private readonly deliver: (body: unknown) => void;

  constructor(o: { session: string; send: (frame: LinkFrame) => void; deliver: (body: unknown) => void }) {
    this.session = o.session;
    this.send = o.send;
    this.deliver = o.deliver;
  }

  /** The last message that arrived in order. */
  get received(): number {
    return this.delivered;
  }
  get waiting(): boolean {
    return this.out.length > 0;
  }

  /** False when the other end has not taken what is already waiting: the caller decides what to give up. */
  post(body: unknown, now: number): boolean {
    if (this.out.length >= MAX_BACKLOG) return false;
    if (this.sent === 0) this.resendAt = now + this.resendMs;
    this.out.push({ seq: ++this.lastSeq, body });
    this.fill();
    return true;
  }

  receive(frame: LinkFrame, now: number): void {
    if (frame.session !== this.session) return;
    this.acknowledged(frame.ack, now);
    if (frame.t === 'ack') return;
    if (frame.t === 'msg' && frame.seq === this.delivered + 1) {
      this.delivered++;
      this.deliver(frame.body);
    }
    this.send({ t: 'ack', session: this.session, ack: this.delivered });
  }

  /** The connection is new and the other end has everything up to `ack`: say the rest again at once. */
  resume(ack: number, now: number): void {
    this.acknowledged(ack, now);
    this.resendMs = FIRST_RESEND_MS;
    this.resend(now);
  }

  tick(now: number): void {
    if (this.sent === 0 || now < this.resendAt) return;
    this.resendMs = Math.min(this.resendMs * 2, LAST_RESEND_MS);
    this.resend(now);
  }

  private acknowledged(ack: number, now: number): void {
    if (ack > this.lastSeq) return; // nobody can have what was never sent
    let gone = 0;
    while (this.out[gone] && this.out[gone]!.seq <= ack) gone++;
    if (gone === 0) return;
    this.out.splice(0, gone);
    this.sent = Math.max(0, this.sent - gone);
    this.resendMs = FIRST_RESEND_MS;
    this.resendAt = now + this.resendMs;
    this.fill();
  }

  private resend(now: number): void {
    this.sent = 0;
    this.resendAt = now + this.resendMs;
    this.fill();
  }

  private fill(): void {
    while (this.sent < Math.min(this.out.length, GUEST_WINDOW)) {
      const { seq, body } = this.out[this.sent++]!;
      this.send({ t: 'msg', session: this.session, seq, ack: this.delivered, body });
    }
  }
}
