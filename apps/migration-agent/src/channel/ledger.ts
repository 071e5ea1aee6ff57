import { createHash } from 'node:crypto';
import { canonicalJson } from '@chrysalis/kernel';
import type { GuestOutcome } from '@chrysalis/contracts';

const MAX_RESULTS = 1_000;
const MAX_RESULT_BYTES = 8 << 20;
const MAX_FORGOTTEN = 100_000;

type Entry = { hash: string; state: 'running' } | { hash: string; state: 'done'; outcome: GuestOutcome; bytes: number };
export type Known = { is: 'new' } | { is: 'running' } | { is: 'done'; outcome: GuestOutcome } | { is: 'forgotten' } | { is: 'conflict' };

/** What was asked by idempotency id, and what came of it. An id is executed once: when its result must go, the id stays. */
export class Ledger {
  private readonly entries = new Map<string, Entry>();
  private readonly forgotten = new Set<string>();
  private bytes = 0;
  private done = 0;

  /** Looks an id up and, when it is new and `admit` does not throw, marks it as running in the same step. */
  begin(id: string, name: string, input: unknown, admit: () => void = () => undefined): Known {
    if (this.forgotten.has(id)) return { is: 'forgotten' };
    const hash = createHash('sha256')
      .update(`${name} ${canonicalJson(input)}`)
      .digest('base64');
    const entry = this.entries.get(id);
    if (!entry) {
      admit();
      this.entries.set(id, { hash, state: 'running' });
      return { is: 'new' };
    }
    if (entry.hash !== hash) return { is: 'conflict' };
    return entry.state === 'running' ? { is: 'running' } : { is: 'done', outcome: entry.outcome };
  }

  finish(id: string, outcome: GuestOutcome): void {
    const entry = this.entries.get(id);
    if (entry?.state !== 'running') return;
    const bytes = JSON.stringify(outcome).length;
    this.entries.delete(id); // the map's order becomes the order of finishing
    this.entries.set(id, { hash: entry.hash, state: 'done', outcome, bytes });
    this.bytes += bytes;
    this.done++;
    this.evict();
  }

  private evict(): void {
    for (const [id, e] of this.entries) {
      if (this.done <= MAX_RESULTS && this.bytes <= MAX_RESULT_BYTES) return;
      if (e.state === 'running') continue;
      this.entries.delete(id);
      this.bytes -= e.bytes;
      this.done--;
      this.forgotten.add(id);
    }
    // 100,000 ids of 100 bytes: 10 MB, years of moves.
    for (const id of this.forgotten) {
      if (this.forgotten.size <= MAX_FORGOTTEN) return;
      this.forgotten.delete(id);
    }
  }
}
