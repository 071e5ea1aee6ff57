/** A migration progresses while the bytes that remain reach new lows; a guest that dirties faster than the link carries doesn't. */
export class StallDetector {
  private readonly stallMs: number | undefined;
  private lowest = Number.POSITIVE_INFINITY;
  private lowestAt: number | undefined;

  constructor(stallMs: number | undefined) {
    this.stallMs = stallMs;
  }

  /** How long there was no new low, once that is too long. */
  see(remaining: number, nowMs: number): number | undefined {
    if (this.lowestAt === undefined || remaining < this.lowest) {
      this.lowest = remaining;
      this.lowestAt = nowMs;
      return undefined;
    }
    const stalled = nowMs - this.lowestAt;
    return this.stallMs !== undefined && stalled > this.stallMs ? stalled : undefined;
  }
}
