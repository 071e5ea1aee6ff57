import { setTimeout as pause } from 'node:timers/promises';
import type { WorkflowGraph } from '@chrysalis/api-client';
import type { Command, OptionValues } from 'commander';
import { action, duration, examples, readText, type Run } from '../command.ts';
import { onInterrupt } from '../interrupt.ts';
import { RefusedError } from '../errors.ts';
import { exits } from '../exit.ts';
import { print, table } from '../show/output.ts';
import { eventColumns } from './events.ts';

const final = (state: string): boolean => !['queued', 'running', 'compensating'].includes(state);
const REDRAW_MS = 400;

export const workflowSeeCommands = (workflow: Command, textOf: (view: WorkflowGraph) => Promise<string>): void => {
  examples(
    action(
      workflow
        .command('watch')
        .argument('<workflow>')
        .description('the graph as it changes, until the end; exit code 0 if it succeeded')
        .option('--timeout <time>', 'at most so long', duration, 3_600_000),
      (run) => watch(run, textOf),
    ),
    'workflow watch op-0199c0de-…',
  );
  examples(
    action(
      workflow
        .command('history')
        .argument('<workflow>')
        .description('every event of it, in order')
        .option('--raw', 'the log itself, one JSON document a line: `replay` takes it'),
      async (run) => {
        if (run.options['raw']) {
          const headers = { accept: 'application/x-ndjson' };
          const text: unknown = await run.client.get('/v1/workflows/{id}/history', { path: { id: run.args[0]! }, headers });
          return void process.stdout.write(String(text));
        }
        const { items } = await run.client.get('/v1/workflows/{id}/history', { path: { id: run.args[0]! } });
        await print(run.format, items, () => table(eventColumns, items));
      },
    ),
    'workflow history op-0199c0de-…',
    'workflow history op-0199c0de-… --raw > history.jsonl',
  );
  examples(
    action(
      workflow
        .command('analysis')
        .argument('<workflow>', 'a workflow, or a template as name@version')
        .description('what can run in parallel, the critical path, and which task has time to spare'),
      async (run) => {
        const [name = '', version] = run.args[0]!.split('@');
        const found = version
          ? await run.client.get('/v1/workflow-templates/{name}/{version}/analysis', { path: { name, version } })
          : await run.client.get('/v1/workflows/{id}/analysis', { path: { id: name } });
        const { analysisText } = await import('../show/analysis.ts');
        await print(run.format, found, () => analysisText(found));
      },
    ),
    'workflow analysis op-0199c0de-…',
    'workflow analysis drain-host@1',
  );
  replayCommand(workflow, textOf);
};

const watch = async (run: Run, textOf: (view: WorkflowGraph) => Promise<string>): Promise<number> => {
  const live = process.stdout.isTTY && run.format === 'table';
  const end = Date.now() + run.options['timeout'];
  onInterrupt(`${run.args[0]} goes on`, `chrysalis workflow watch ${run.args[0]}`);
  const seen = new Map<string, string>();
  for (let version = -1; ; await pause(REDRAW_MS)) {
    const view = await run.client.get('/v1/workflows/{id}', { path: { id: run.args[0]! } });
    if (view['version'] !== version && live) process.stdout.write(`\x1b[2J\x1b[H${await textOf(view)}\n`);
    if (view['version'] !== version && !live && !run.quiet)
      process.stderr.write(
        changesIn(view, seen)
          .map((l) => `${l}\n`)
          .join(''),
      );
    version = view['version'];
    if (final(view['state'])) {
      if (!live) await showEnd(run, view, textOf);
      return view['state'] === 'succeeded' ? exits.ok : exits.failed;
    }
    if (Date.now() > end) return exits.timeout;
  }
};

const showEnd = async (run: Run, view: WorkflowGraph, textOf: (view: WorkflowGraph) => Promise<string>): Promise<void> => {
  await print(run.format, view, () => '');
  if (run.format === 'table') process.stdout.write(`${await textOf(view)}\n`);
};

/** A line for each task whose state is another one than was seen last. */
const changesIn = (view: WorkflowGraph, seen: Map<string, string>): string[] => {
  const lines: string[] = [];
  for (const t of view.tasks) {
    const now = t['items'] ? `${t['state']} ${JSON.stringify(t['items'].states)}` : t['state'];
    const before = seen.get(t['name']);
    seen.set(t['name'], now);
    if (before !== now && (before !== undefined || now !== 'waiting')) lines.push(`${now.padEnd(11)} ${t['name']}`);
  }
  return lines;
};

const replayCommand = (workflow: Command, textOf: (view: WorkflowGraph) => Promise<string>): void => {
  const command = workflow
    .command('replay')
    .argument('<file>', 'from `workflow history --raw`, - for stdin')
    .description('fold a history by the rules of the service, and show what comes out; nothing is asked of a server')
    .option('--to <version>', 'only so far')
    .option('-a, --all-items', 'every item of a forEach')
    .action(async (file: string, options: OptionValues, self: Command) => {
      const view = await replayed(file, options);
      await print(self.optsWithGlobals()['output'], view, () => '');
      if (self.optsWithGlobals()['output'] === 'table') process.stdout.write(`${await textOf(view)}\n`);
    });
  examples(command, 'workflow replay history.jsonl', 'workflow replay history.jsonl --to 12 -o json');
};

const replayed = async (file: string, options: OptionValues): Promise<WorkflowGraph> => {
  const { evolve, initial, viewOf } = await import('@chrysalis/workflow-core');
  const { contractOf } = await import('@chrysalis/contracts');
  let state: Parameters<typeof evolve>[0] = initial;
  let version = 0;
  for (const [i, text] of linesOf(file).entries()) {
    const line = parsed(text, `line ${i + 1}`);
    if (line.version !== version + 1) throw new RefusedError(`line ${i + 1}: version ${line.version} does not follow ${version}`);
    if (options['to'] !== undefined && line.version > Number(options['to'])) break;
    const fits = contractOf.get(line.type)?.schema.safeParse(line.data);
    if (!fits?.success) throw new RefusedError(`line ${i + 1}: no event of a workflow that is known here: ${line.type}`);
    state = evolve(state, { type: line.type, data: line.data } as Parameters<typeof evolve>[1]);
    version = line.version;
  }
  const view = viewOf(state, { items: options['allItems'] ? 'all' : 'some' });
  if (!view) throw new RefusedError(`${file} has no events`);
  const { version: definitionVersion, ...rest } = JSON.parse(JSON.stringify(view)) as Omit<WorkflowGraph, 'version'> & { version?: number };
  return { ...rest, ...(definitionVersion === undefined ? {} : { definitionVersion }), version };
};

const linesOf = (file: string): string[] =>
  readText(file)
    .split('\n')
    .filter((l) => l.trim() !== '');
/** A line of `workflow history --raw`, before anybody looked at it. */
type Logged = { readonly type: string; readonly version: number; readonly data: unknown };
const parsed = (text: string, where: string): Logged => {
  try {
    return JSON.parse(text) as Logged;
  } catch {
    throw new RefusedError(`${where}: no JSON`);
  }
};
