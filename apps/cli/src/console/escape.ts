const [CTRL_BRACKET, TILDE, DOT, CR, LF] = [0x1d, 0x7e, 0x2e, 0x0d, 0x0a];

/** The way out of a console, in what is typed: Ctrl-], or `~.` at the beginning of a line; `~~` there is one `~`. */
export class Escape {
  #atLineStart = true;
  #tilde = false;

  /** What goes to the guest; `left` where nothing does any more. */
  take(typed: Uint8Array): { readonly bytes: Buffer; readonly left: boolean } {
    const bytes: number[] = [];
    for (const byte of typed) {
      if (byte === CTRL_BRACKET || (this.#tilde && byte === DOT)) return { bytes: Buffer.from(bytes), left: true };
      if (!this.#tilde && this.#atLineStart && byte === TILDE) {
        this.#tilde = true;
        continue;
      }
      if (this.#tilde && byte !== TILDE) bytes.push(TILDE);
      this.#tilde = false;
      bytes.push(byte);
      this.#atLineStart = byte === CR || byte === LF;
    }
    return { bytes: Buffer.from(bytes), left: false };
  }
}
