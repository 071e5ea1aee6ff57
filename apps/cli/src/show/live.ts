import { clearLine, cursorTo } from 'node:readline';
import type { Client } from '@chrysalis/api-client';
import type { Operation } from '@chrysalis/api-client';
import type { SseEvent } from '@chrysalis/api-client';
import type { Row } from './output.ts';
import { bar, Transfers } from './transfer.ts';

/** What goes on, on stderr: one line that changes on a terminal, else a line for each change. */
class Live {
  readonly #out = process.stderr;
  readonly #quiet: boolean;
  #open = false;
  #last = '';

  constructor(quiet = false) {
    this.#quiet = quiet;
  }

  line(text: string): void {
    if (this.#quiet) return;
    this.close();
    this.#out.write(`${text}\n`);
  }

  /** Passing: overwritten by the next on a terminal, left out elsewhere. */
  passing(text: string): void {
    if (this.#quiet || !this.#out.isTTY || text === this.#last) return;
    clearLine(this.#out, 0);
    cursorTo(this.#out, 0);
    this.#out.write(text.slice(0, Math.max(20, (this.#out.columns ?? 80) - 1)));
    [this.#open, this.#last] = [true, text];
  }

  /** Of a transfer: passing on a terminal, elsewhere a line now and then. */
  progress(of: { readonly text: string; readonly due: boolean } | undefined): void {
    if (!of) return;
    if (this.#out.isTTY) this.passing(of.text);
    else if (of.due) this.line(of.text);
  }

  close(): void {
    if (!this.#open) return;
    clearLine(this.#out, 0);
    cursorTo(this.#out, 0);
    this.#open = false;
  }
}

const verbs: Readonly<Record<string, string>> = {
  'task.dispatched': 'start',
  'task.succeeded': 'done',
  'task.failed': 'failed',
  'task.skipped': 'skipped',
  'compensation.started': 'undo',
  'task.compensated': 'undone',
  'compensation.failed': 'undo failed',
  'cancel.requested': 'cancel',
  'move.started': 'move',
  'move.ended': 'move ended',
  'move.resumed': 'move goes on',
};

/** A line for a step of an operation, or nothing where it says nothing new. */
const stepLine = ({ event, data }: SseEvent): string | undefined => {
  const verb = Object.entries(verbs).find(([k]) => event.includes(`.${k}.`))?.[1];
  if (!verb) return undefined;
  const { at, data: d } = data as { at: string; data: Row };
  const what = d['task'] ?? d['vmId'] ?? d['reason'] ?? '';
  const why = d['cause'] ? `  ${d['cause'].code}: ${d['cause'].message}` : '';
  const again = verb === 'failed' && d['retryAt'] ? '  (again soon)' : '';
  const [shown, start] = verb === 'start' ? begun(d) : [verb, ''];
  return `${at.slice(11, 23)}  ${shown.padEnd(12)} ${what}${start}${why}${again}`;
};
const begun = (d: Row): [verb: string, attempt: string] => [
  d['action'] === 'compensate' ? 'undoing' : 'start',
  d['attempt'] > 1 ? `  (attempt ${d['attempt']})` : '',
];

const operationLine = (o: Operation): string =>
  `${bar(o.progress.done, o.progress.total)} ${o.progress.done}/${o.progress.total} ${o.progress.unit}  ${o.phase ?? ''}`;
/** Waits for an operation and shows what it does: its steps as they come, and the bytes of moves. */
export const waitShown = async (
  client: Client,
  id: string,
  options: { timeoutMs: number; quiet: boolean; atLeast?: number },
): Promise<Operation> => {
  const live = new Live(options.quiet);
  const stop = new AbortController();
  const transfers = new Transfers();
  const bytes = (async () => {
    for await (const p of client.progress({ signal: stop.signal })) live.progress(transfers.sample(p));
  })().catch(() => undefined); // telemetry may be lost
  try {
    return await client.waitOperation(id, {
      timeoutMs: options.timeoutMs,
      atLeast: options.atLeast ?? 0,
      onEvent: (e) => {
        transfers.heard(e);
        const line = stepLine(e);
        if (line) live.line(line);
        if (e.event === 'operation') live.passing(operationLine(e.data as Operation));
      },
    });
  } finally {
    stop.abort();
    await bytes;
    live.close();
  }
};
