/** Sequences that a terminal acts on: CSI, OSC and the like to their end, and the short ones. */
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*(?![[\]PX^_])[0-~])/g;
/** All but tab and line feed. */
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
/** The beginning of one, whose end is still to come. */
const BEGUN = /\x1b[^\x1b]{0,255}\x1b?$/;

/**
 * What a guest wrote, for a terminal that it is not to command: whoever reads a log has not chosen to let the guest move the cursor, name
 * the window or write to the clipboard. Text and lines stay.
 */
export class PlainText {
  readonly #decoder = new TextDecoder();
  #rest = '';

  add(bytes: Uint8Array): string {
    const all = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const whole = all.replace(SEQUENCES, '');
    this.#rest = BEGUN.exec(whole)?.[0] ?? '';
    return whole.slice(0, whole.length - this.#rest.length).replace(CONTROLS, '');
  }
}
export const plain = (text: string): string => text.replace(SEQUENCES, '').replace(CONTROLS, '');
