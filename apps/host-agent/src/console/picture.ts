import type { ConsoleLog, ConsolePiece } from '@chrysalis/hypervisor';

/** Bytes that are all there, read as a console's log is. */
export class PictureLog implements ConsoleLog {
  readonly start = 0;
  constructor(private readonly bytes: Buffer) {}

  get end(): number {
    return this.bytes.length;
  }
  read(from: number, max: number): ConsolePiece {
    return { from, bytes: this.bytes.subarray(from, from + max) };
  }
  listen(): () => void {
    return () => undefined;
  }
}
