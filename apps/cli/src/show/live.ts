import { clearLine, cursorTo } from 'node:readline';
import type { Client, Operation, SseEvent } from '@chrysalis/api-client';
import type { DataOf, migrationTemplatesEvents, workflowEvents } from '@chrysalis/contracts';
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

type Dispatched = DataOf<typeof workflowEvents.taskDispatched>;
type Failed = DataOf<typeof workflowEvents.taskFailed>;
/** What is told of the data of these events; each has some of it. */
type Step = Partial<
  Pick<Dispatched, 'task' | 'action' | 'attempt'> &
    Pick<Failed, 'cause' | 'retryAt'> &
    Pick<DataOf<typeof migrationTemplatesEvents.moveStarted>, 'vmId'> &
    Pick<DataOf<typeof workflowEvents.cancelRequested>, 'reason'>
>;
/** What is said of an event, and which member of it names what it is about. */
const verbs: Readonly<Record<string, readonly [verb: string, about: 'task' | 'vmId' | 'reason']>> = {
  'task.dispatched': ['start', 'task'],
  'task.succeeded': ['done', 'task'],
  'task.failed': ['failed', 'task'],
  'task.skipped': ['skipped', 'task'],
  'compensation.started': ['undo', 'task'],
  'task.compensated': ['undone', 'task'],
  'compensation.failed': ['undo failed', 'task'],
  'cancel.requested': ['cancel', 'reason'],
  'move.started': ['move', 'vmId'],
  'move.ended': ['move ended', 'vmId'],
  'move.resumed': ['move goes on', 'vmId'],
  'move.approval-asked': ['wait for approval', 'vmId'],
  'move.approval-settled': ['approval', 'vmId'],
};

/** A line for a step of an operation, or nothing where it says nothing new. */
const stepLine = ({ event, data }: SseEvent): string | undefined => {
  const [verb, about] = Object.entries(verbs).find(([k]) => event.includes(`.${k}.`))?.[1] ?? [];
  if (!verb || !about) return undefined;
  const { at, data: d } = data as { at: string; data: Step };
  const what = d[about] ?? '';
  const why = d.cause ? `  ${d.cause.code}: ${d.cause.message}` : '';
  const again = verb === 'failed' && d.retryAt ? '  (again soon)' : '';
  const [shown, start] = verb === 'start' ? begun(d) : [verb, ''];
  return `${at.slice(11, 23)}  ${shown.padEnd(12)} ${what}${start}${why}${again}`;
};
const begun = ({ action, attempt = 1 }: Step): [verb: string, attempt: string] => [
  action === 'compensate' ? 'undoing' : 'start',
  attempt > 1 ? `  (attempt ${attempt})` : '',
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
