import { setTimeout as pause } from 'node:timers/promises';
import { ConsoleWord } from '@chrysalis/contracts';
import { ApiError, type Client } from '@chrysalis/api-client';
import type { WebSocket } from 'ws';

export type Ended = { readonly code: string; readonly message: string };
export type Terminal = {
  /** False: no more, until `drained`. */
  readonly show: (bytes: Buffer) => boolean;
  readonly drained: () => Promise<unknown>;
  /** What is said about it, apart from it. */
  readonly say: (text: string) => void;
  /** Where what is typed goes from now on; `undefined` while it goes nowhere. */
  readonly typing: (send: ((bytes: Buffer) => void) | undefined) => void;
};
export type Wanted = { readonly vmId: string; readonly write: boolean; readonly force: boolean; readonly tail: number };

/** The VM went elsewhere, or what was between is gone: its console is opened again where it is. */
const PASSING = new Set(['console.moved', 'console.not_here', 'console.host_away', 'console.gateway_lost', 'service.unavailable']);
const PATIENCE_MS = 30_000;
const AGAIN_MS = 300;

/** A console for as long as it lasts, over moves of its VM and restarts of what is between. Answers why it ended. */
export const attend = async (client: Client, wanted: Wanted, terminal: Terminal, left: AbortSignal): Promise<Ended> => {
  let { force, tail } = wanted;
  for (let until = 0; ;) {
    const ended = await once(client, { ...wanted, force, tail }, terminal, left).catch((error: unknown) => passing(error, until));
    terminal.typing(undefined);
    if (left.aborted || !PASSING.has(ended.code)) return ended;
    if ('opened' in ended && ended.opened) {
      until = Date.now() + PATIENCE_MS;
      [force, tail] = [false, 0];
      terminal.say(ended.message);
    }
    if (Date.now() > until) return ended;
    await pause(AGAIN_MS);
  }
};

/** A refusal on the way to where the VM is now is waited out; the first one of all is the answer. */
const passing = (error: unknown, until: number): Ended => {
  if (!(error instanceof ApiError) || until === 0) throw error;
  const code = error.status === 0 ? 'service.unavailable' : error.code;
  if (!PASSING.has(code) || Date.now() > until) throw error;
  return { code, message: error.message };
};

const once = async (
  client: Client,
  { vmId, write, force, tail }: Wanted,
  terminal: Terminal,
  left: AbortSignal,
): Promise<Ended & { opened: boolean }> => {
  const query = new URLSearchParams({ write: String(write), force: String(force), tail: String(tail) });
  const socket = await client.socket(`/v1/vms/${encodeURIComponent(vmId)}/console?${query}`);
  let opened = false;
  let end: Ended = { code: 'service.unavailable', message: 'the connection was lost' };
  const leave = (): void => socket.close(1000);
  left.addEventListener('abort', leave);
  socket.on('message', (data, binary) => {
    if (binary) return show(socket, terminal, data as Buffer);
    const word = ConsoleWord.safeParse(JSON.parse(String(data as Buffer))).data;
    if (word?.type === 'closed') end = word;
    if (word?.type === 'opened') {
      opened = true;
      if (word.writer) terminal.typing((bytes) => socket.send(bytes, { binary: true }));
    }
    if (word?.type === 'reads') terminal.typing(undefined);
    const text = word && spoken(word);
    if (text) terminal.say(text);
  });
  const closed = new Promise<void>((done) => socket.on('close', () => done()));
  if (left.aborted) leave();
  socket.resume();
  await closed;
  left.removeEventListener('abort', leave);
  return { ...end, opened };
};

const show = (socket: WebSocket, { show: write, drained }: Terminal, bytes: Buffer): void => {
  if (write(bytes)) return;
  socket.pause();
  void drained().then(() => socket.resume());
};

const spoken = (word: ConsoleWord): string | undefined => {
  switch (word.type) {
    case 'opened':
      return `on ${word.hostId}${word.writer ? '; Ctrl-] or ~. leaves' : ', to read; Ctrl-] or ~. leaves'}`;
    case 'reads':
      return `${word.by} types now, by force; you read on`;
    case 'skipped':
      return `${word.bytes} bytes came faster than they were read, and are gone`;
    case 'notice':
      return `${word.code}: ${word.message}`;
    case 'closed':
      return undefined;
  }
};
