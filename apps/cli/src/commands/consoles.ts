import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { Vm } from '@chrysalis/api-client';
import { nextOf } from '@chrysalis/contracts/codes';
import type { Command } from 'commander';
import { action, examples, fileGiven, number, positive, vmOf, type Run } from '../command.ts';
import { Escape } from '../console/escape.ts';
import { plain, PlainText } from '../console/plain.ts';
import { attend, type Ended, type Terminal } from '../console/session.ts';
import { exits } from '../exit.ts';
import { print } from '../show/output.ts';

export const consoleCommands = (vm: Command): void => {
  examples(
    action(
      vm
        .command('log')
        .argument('<vm>', 'id or name')
        .description('what a VM wrote to its serial console: the last 64 KiB, kept over its starts and moves')
        .option('-n, --lines <number>', 'only so many, the last', positive)
        .option('-f, --follow', 'and what it writes from now on, also where it goes, until Ctrl-C')
        .option('--raw', 'as it wrote it, with all that a terminal would act on'),
      log,
    ),
    'vm log web --lines 20',
    'vm log web --follow',
  );
  examples(
    action(
      vm
        .command('console')
        .argument('<vm>', 'id or name')
        .description('the serial console of a VM, to type on and read; Ctrl-], or ~. at the beginning of a line, leaves it')
        .option('--read-only', 'to read along; as many may as like')
        .option('--force', 'in the place of whoever types on it now, who is told, and reads on')
        .option('--tail <bytes>', 'how much of what it wrote before comes first, in bytes', number, 2_048),
      terminal,
    ),
    'vm console web',
    'vm console web --read-only',
    'vm console web --force',
  );
  examples(
    action(
      vm
        .command('screen')
        .argument('<vm>', 'id or name')
        .description('a picture of what a VM shows, where its image asks for a display')
        .requiredOption('--out <file>', 'where to, a PNG; - is stdout'),
      screen,
    ),
    'vm screen web --out web.png',
  );
};

const log = async (run: Run): Promise<number> => {
  const { client, format, options } = run;
  const { vmId, name } = await vmOf(client, run.args[0]!);
  const told = await client.get('/v1/vms/{id}/console-log', { path: { id: vmId }, query: { lines: options['lines']?.toString() } });
  if (!options['follow']) {
    if (format === 'table' && told.bytes === 0) process.stderr.write(`${name} has written nothing yet\n`);
    else await print(format, told, () => (options['raw'] ? told.text : plain(told.text)).replace(/\n$/, ''));
    return exits.ok;
  }
  const text = new PlainText();
  const shows = options['raw'] ? (bytes: Buffer) => bytes : (bytes: Buffer) => text.add(bytes);
  const wanted = { vmId, write: false, force: false, tail: told.bytes };
  return endedBy(await attend(client, wanted, { ...onStdout(run, shows), typing: () => undefined }, new AbortController().signal));
};

const onStdout = ({ quiet }: Run, shows: (bytes: Buffer) => Buffer | string): Omit<Terminal, 'typing'> => ({
  show: (bytes) => process.stdout.write(shows(bytes)),
  drained: () => once(process.stdout, 'drain'),
  // A line of its own: the terminal may be raw, and the guest in the middle of one.
  say: (words) => void (quiet || process.stderr.write(`\r\n[${words}]\r\n`)),
});

const terminal = async (run: Run): Promise<number> => {
  const { client, options } = run;
  const found = await vmOf(client, run.args[0]!);
  const left = new AbortController();
  const keyboard = new Keyboard(() => left.abort());
  const { readOnly = false, force = false, tail } = options as { readOnly?: boolean; force?: boolean; tail: number };
  try {
    const wanted = { vmId: found.vmId, write: !readOnly, force, tail: Math.min(tail, 65_536) };
    const ended = await attend(client, wanted, { ...onStdout(run, (bytes) => bytes), typing: (send) => keyboard.to(send) }, left.signal);
    return left.signal.aborted ? leaves(found, run) : endedBy(ended);
  } finally {
    keyboard.close();
  }
};

const leaves = ({ name }: Vm, { quiet }: Run): number => {
  if (!quiet) process.stderr.write(`\r\n[left the console of ${String(name)}]\r\n`);
  return exits.ok;
};

/** Why it ended, and what to do next. */
const endedBy = ({ code, message }: Ended): number => {
  const next = nextOf(code);
  process.stderr.write(`\r\nerror ${code}: ${message}\n${next ? `next: ${next}\n` : ''}`);
  if (code === 'console.has_writer') return exits.refused;
  return code === 'console.token_over' ? exits.denied : exits.failed;
};

/** After the end of what was piped in the guest's answer is waited for. */
const ANSWER_MS = 2_000;

/** What is typed, byte by byte where it is a terminal: Ctrl-C and the like are the guest's. */
class Keyboard {
  readonly #escape = new Escape();
  #send: ((bytes: Buffer) => void) | undefined;
  readonly #typed: (bytes: Buffer) => void;
  readonly #ended: () => void;

  constructor(leave: () => void) {
    this.#typed = (typed) => {
      const { bytes, left } = this.#escape.take(typed);
      if (bytes.length > 0) this.#send?.(bytes);
      if (left) leave();
    };
    this.#ended = () => void setTimeout(leave, ANSWER_MS);
    process.stdin.on('end', this.#ended);
    if (process.stdin.isTTY) process.stdin.setRawMode(true).on('data', this.#typed);
  }

  /** What is piped in waits until it may be typed; a terminal is read from the beginning, so that there is a way out. */
  to(send: ((bytes: Buffer) => void) | undefined): void {
    this.#send = send;
    if (send && process.stdin.listenerCount('data') === 0) process.stdin.on('data', this.#typed);
  }

  close(): void {
    process.stdin.off('data', this.#typed).off('end', this.#ended).pause();
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
  }
}

const screen = async ({ client, args, options, quiet }: Run): Promise<number> => {
  const { vmId, name } = await vmOf(client, args[0]!);
  const picture = await client.bytes(`/v1/vms/${encodeURIComponent(vmId)}/screen`);
  const out = options['out'] as string;
  if (out === '-') process.stdout.write(picture);
  else await writeFile(fileGiven(out), picture);
  const [width, height] = [picture.readUInt32BE(16), picture.readUInt32BE(20)];
  if (!quiet) process.stderr.write(`the screen of ${String(name)}, ${width} x ${height}${out === '-' ? '' : `, is in ${out}`}\n`);
  return exits.ok;
};
