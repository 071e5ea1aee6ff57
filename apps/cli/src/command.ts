import { readFileSync } from 'node:fs';
import path from 'node:path';
import { InvalidArgumentError, type Command, type OptionValues } from 'commander';
import {
  withRequest,
  type Client,
  type ItemOf,
  type ListPath,
  type Operation,
  type QueryOf,
  type RequestOptions,
  type Vm,
} from '@chrysalis/api-client';
import { asTyped } from './as-typed.ts';
import { connect, type GlobalOptions } from './context.ts';
import { SeveralNamedError, UsageError } from './errors.ts';
import { exits } from './exit.ts';
import { onInterrupt } from './interrupt.ts';
import { onwardLines, standingFields } from './show/standing.ts';
import { fields, print, took, table, type Columns, type Format } from './show/output.ts';

/** An answer as whatever it is: only its members are shown. */
type Answer = Readonly<Record<string, unknown>>;

/** What an action works with. */
export type Run = {
  readonly client: Client;
  readonly format: Format;
  readonly quiet: boolean;
  readonly options: OptionValues;
  readonly args: readonly string[];
};

/** Where a variable of a script is empty: left out it would mean whatever there is, or what the server takes unless told. */
const assertSaid = (command: Command): void => {
  const empty = (value: unknown): boolean => [value].flat().some((v) => typeof v === 'string' && v.trim() === '');
  for (const [i, argument] of command.registeredArguments.entries())
    if (empty(command.processedArgs[i])) throw new UsageError(`no ${argument.name()} is named: what was given is empty`);
  for (const o of command.options)
    if (o.defaultValue !== '' && empty(command.getOptionValue(o.attributeName())))
      throw new UsageError(`${o.long}: nothing is named: what was given is empty`);
};

/** An action with a client. Its number, if any, is the exit code. */
export const action = (command: Command, work: (run: Run) => Promise<number | void>): Command =>
  command.action(async (...given: unknown[]) => {
    const self = given.at(-1) as Command;
    const options = self.optsWithGlobals() as OptionValues & GlobalOptions;
    assertSaid(self);
    const client = await connect(options);
    const run = { client, format: options.output ?? 'table', quiet: options.quiet ?? false, options, args: self.processedArgs as string[] };
    const typed = (error: unknown): never => {
      throw asTyped(self, error);
    };
    process.exitCode = (await work(run).catch(typed)) ?? exits.ok;
  });

/** What a dry run was answered: nothing is asked of the server after it. */
class Tried extends Error {
  constructor(readonly answer: Answer) {
    super('a dry run ends here');
  }
}

/**
 * An action that changes something. With --dry-run it goes as it would, up to its first request that is no read: that one is tried, and
 * what it would answer is shown.
 */
export const changing = (
  command: Command,
  work: (run: Run) => Promise<number | void>,
  text: (answer: Answer) => string = triedText,
): Command =>
  action(command.option('--dry-run', 'all checks, the same refusals, and nothing is done'), async (run) => {
    if (!run.options['dryRun']) return work(run);
    try {
      return await work({ ...run, client: trying(run.client) });
    } catch (error) {
      if (!(error instanceof Tried)) throw error;
      await print(run.format, error.answer, () => text(error.answer));
      if (!run.quiet) process.stderr.write('dry run: nothing was done\n');
      return exits.ok;
    }
  });

/** Of a verb that shows more of a trial than what it would answer. */
export const dryRun = { dryRun: 'true' } as const;

const trying = (client: Client): Client =>
  withRequest(client, async <T>(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<T> => {
    if (method === 'GET') return client.request<T>(method, path, body, options);
    throw new Tried(await client.request<Answer>(method, `${path}${path.includes('?') ? '&' : '?'}dryRun=true`, body, options));
  });

/** Ids in it are those of the trial: the real one makes its own. */
const triedText = ({ dryRun: _, ...answer }: Answer): string =>
  fields(Object.fromEntries(Object.entries(answer).map(([k, v]) => [k, typeof v === 'object' && v !== null ? JSON.stringify(v) : v])));

export const examples = (command: Command, ...lines: string[]): Command =>
  command.addHelpText('after', `\nExamples:\n${lines.map((l) => `  $ chrysalis ${l}`).join('\n')}`);

/** `30s`, `5m`, `500ms`, or seconds; in milliseconds. */
export const duration = (text: string): number => {
  const m = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text);
  if (!m) throw new InvalidArgumentError('a time such as 30s, 5m, 2h, 7d or 500ms');
  return Number(m[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[(m[2] ?? 's') as 'ms' | 's' | 'm' | 'h' | 'd'];
};
/** Several by commas, or again. An empty one is not left out: it may be what a script meant to name. */
export const collect = (value: string, before: readonly string[] = []): string[] => {
  const parts = value.split(',');
  if (parts.some((part) => part.trim() === '')) throw new InvalidArgumentError('What was given, or a part of it, is empty.');
  return [...before, ...parts];
};
/** Of what there is one at least: 0 would be left out, or taken for nothing said. */
export const positive = (text: string): number => {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('a whole number, 1 or more');
  return Number(text);
};
export const number = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a whole number');
  return Number(text);
};

export const waits = (command: Command): Command =>
  command
    .option('-w, --wait', 'wait for the end and show what happens')
    .option('--timeout <time>', 'wait at most so long, e.g. 90s, 10m', duration, 600_000);

/** After a command that made an operation: its answer at once, or with --wait its end. An end before the version `atLeast` is none. */
export const finish = async (run: Run, answer: Answer & { readonly operation: string }, what: string, atLeast = 0): Promise<number> => {
  if (!run.options['wait']) {
    await print(run.format, answer, () => `${what}; operation ${answer.operation}`);
    if (run.format === 'table' && !run.quiet) process.stderr.write(`next: chrysalis operation wait ${answer.operation}\n`);
    return exits.ok;
  }
  const { waitShown } = await import('./show/live.ts');
  onInterrupt(`${answer.operation} goes on`, `chrysalis operation watch ${answer.operation}`);
  const operation = await waitShown(run.client, answer.operation, { timeoutMs: run.options['timeout'], quiet: run.quiet, atLeast });
  await print(run.format, { ...answer, ...operation }, () => operationText(operation));
  if (operation.state === 'succeeded') return exits.ok;
  for (const line of onwardLines(operation)) process.stderr.write(`${line}\n`);
  return exits.failed;
};

export const operationText = (o: Operation): string =>
  fields({
    operation: o.id,
    what: o.summary,
    about: o.subject,
    state: o.state,
    progress: `${o.progress.done} of ${o.progress.total} ${o.progress.unit}`,
    took: took(o.startedAt, o.endedAt),
    cause: o.cause && `${o.cause.code}: ${o.cause.message}`,
    missing: o.missing?.join(', '),
    ...standingFields(o),
  });

type List<P extends ListPath> = {
  readonly path: P;
  readonly columns: Columns<ItemOf<P>>;
  readonly empty: string;
  /** Of the query, each with its help. */
  readonly filters?: Readonly<Partial<Record<keyof QueryOf<P> & string, string>>>;
  /** Of the filters, those that may be given again: all must hold. */
  readonly repeated?: readonly (keyof QueryOf<P> & string)[];
  /** Of the filters, those that name a thing: what the list is asked for then. One that is not there is not found, as anywhere else. */
  readonly named?: Readonly<Partial<Record<keyof QueryOf<P> & string, (client: Client, text: string) => Promise<string>>>>;
  /** Switches of the query, each with its value and its help: `--all`. */
  readonly switches?: Readonly<Record<string, { readonly query: QueryOf<P>; readonly help: string }>>;
};

/** A list command: filters as options, `--watch` shows it again after each change. */
export const listCommand = <P extends ListPath>(command: Command, list: List<P>): Command => {
  const { path, columns, empty, filters = {} as NonNullable<List<P>['filters']>, repeated = [], switches = {} } = list;
  for (const [name, help = ''] of Object.entries<string | undefined>(filters))
    if ((repeated as readonly string[]).includes(name)) command.option(`--${name} <${name}>`, help, collect);
    else command.option(`--${name} <${name}>`, help);
  for (const [name, { help }] of Object.entries(switches)) command.option(`--${name}`, help);
  command.option('--watch', 'show it again after each change, until Ctrl-C');
  return action(command, async (run) => {
    const asked = await filtersOf(run, list);
    const query = Object.assign({}, asked, ...Object.keys(switches).map((s) => run.options[s] && switches[s]!.query)) as QueryOf<P>;
    const show = async (): Promise<void> => {
      const items = await run.client.all(path, query);
      await print(run.format, items, () =>
        items.length > 0 ? table(columns, items) : narrowed(asked) ? 'None that fits the filters.' : empty,
      );
    };
    await show();
    if (run.options['watch']) await again(run.client, show);
  });
};

const filtersOf = async <P extends ListPath>({ client, options }: Run, { filters, named }: List<P>): Promise<object> => {
  const resolve: Readonly<Record<string, (client: Client, text: string) => Promise<string>>> = { ...named };
  const given = Object.keys(filters ?? {}).filter((f) => options[f] !== undefined);
  const query = given.map(async (f) => [f, (await resolve[f]?.(client, String(options[f]))) ?? String(options[f])] as const);
  return Object.fromEntries(await Promise.all(query));
};

const narrowed = (query: object): boolean => Object.values(query).some((v) => v !== undefined);

/** After each burst of events. */
const again = async (client: Client, show: () => Promise<void>): Promise<void> => {
  let due: NodeJS.Timeout | undefined;
  for await (const _ of client.events('/v1/events'))
    due ??= setTimeout(() => {
      due = undefined;
      process.stdout.write(process.stdout.isTTY ? '\x1b[2J\x1b[H' : '\n');
      void show();
    }, 200);
};

/** A VM by its id or by its name. */
export const vmOf = async (client: Client, text: string): Promise<Vm> => {
  assertNamed('VM', text);
  if (/^vm-[0-9a-f]{8}-/.test(text)) return client.get('/v1/vms/{id}', { path: { id: text } });
  const found = await client.all('/v1/vms', { name: text });
  if (found.length > 1)
    throw new SeveralNamedError(
      text,
      'VMs',
      found.map((v) => `${v.vmId}  ${v.state}${v.hostId ? ` on ${v.hostId}` : ''}`),
    );
  return client.get('/v1/vms/{id}', { path: { id: found[0]?.vmId ?? text } });
};

/** Where a variable of a script is empty, whatever there is would be meant. */
export const assertNamed = (noun: string, text: string): void => {
  if (text.trim() === '') throw new UsageError(`no ${noun} is named\nnext: say its id or its name`);
};

/** A file as its user means it: npm runs a script in the project's root, wherever it was typed. */
export const fileGiven = (file: string, env: NodeJS.ProcessEnv = process.env): string =>
  path.resolve((env['npm_lifecycle_event'] === 'chrysalis' && env['INIT_CWD']) || '.', file);

/** Why a file that was named is not read. */
export const fileFault = (file: string, { code, message }: NodeJS.ErrnoException): UsageError => {
  const why: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    ENOTDIR: 'there is no such file',
    EISDIR: 'is a folder, and not a file',
    EACCES: 'may not be read by you',
  };
  return new UsageError(`${file}: ${why[code ?? ''] ?? message}`);
};

/** The text of a file, or of stdin with `-`. */
export const readText = (file: string): string => {
  try {
    return readFileSync(file === '-' ? 0 : fileGiven(file), 'utf8');
  } catch (error) {
    throw fileFault(file, error as NodeJS.ErrnoException);
  }
};

/** JSON or YAML of a file, or of stdin with `-`. */
export const readDocument = async (file: string): Promise<unknown> => {
  const text = readText(file);
  try {
    return (await import('yaml')).parse(text);
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`);
  }
};
