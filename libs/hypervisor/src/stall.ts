/** What a migration shows of itself. `pass`: which time over the memory it is, from 1. */
export type Sample = { readonly remaining: number; readonly transferred: number; readonly pass: number };
/** `silent`: nothing was sent. `diverging`: the guest writes its memory about as fast as it is sent. */
export type Stall = { readonly why: 'silent' | 'diverging'; readonly ms: number };

/** By less a pass is not smaller than the one before: what is sampled is never the whole of it. */
const SMALLER = 0.95;
/** That so many passes are no smaller is no chance. */
const PASSES = 3;

/**
 * A migration progresses while bytes are sent, and while each pass over the memory has less to send than any before. One pass may take as
 * long as it likes; passes that get no smaller don't end by themselves.
 */
export class StallDetector {
  private readonly stallMs: number;
  private sent = { bytes: -1, at: 0 };
  private pass = { nr: -1, size: 0 };
  private smallest = { size: Number.POSITIVE_INFINITY, nr: -1, at: 0 };

  constructor(stallMs: number | undefined) {
    this.stallMs = stallMs ?? Number.POSITIVE_INFINITY;
  }

  /** That there is no progress any more, once that is certain. */
  see({ remaining, transferred, pass }: Sample, nowMs: number): Stall | undefined {
    if (transferred !== this.sent.bytes) this.sent = { bytes: transferred, at: nowMs };
    if (pass !== this.pass.nr) this.begin(pass, nowMs);
    this.pass.size = Math.max(this.pass.size, remaining);
    const silentMs = nowMs - this.sent.at;
    if (silentMs > this.stallMs) return { why: 'silent', ms: silentMs };
    const divergingMs = nowMs - this.smallest.at;
    const passes = pass - this.smallest.nr;
    return this.smallest.nr >= 0 && passes > PASSES && divergingMs > this.stallMs ? { why: 'diverging', ms: divergingMs } : undefined;
  }

  /** The pass that ended is the measure; the one that begins is not known yet. */
  private begin(nr: number, nowMs: number): void {
    const { size, nr: ended } = this.pass;
    if (ended >= 0 && size < this.smallest.size * SMALLER) this.smallest = { size, nr: ended, at: nowMs };
    this.pass = { nr, size: 0 };
  }
}

export const stallMessage = ({ why, ms }: Stall): string =>
  why === 'silent'
    ? `Nothing was sent for ${Math.round(ms / 1000)} s`
    : `For ${Math.round(ms / 1000)} s each pass had as much to send as the one before: the guest writes its memory too fast for this link and downtime limit`;
