import type { BodyOf } from '@chrysalis/api-client';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { changing, collect, duration, examples, finish, number, positive, readDocument, waits, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { print } from '../show/output.ts';

/** Members as they were given: the server says what is wrong with them. */
type Members = Readonly<Record<string, unknown>>;
type Changes = BodyOf<'post', '/v1/workflows/{id}/changes'>;
type Change = Members & { readonly type: Changes['change']['type'] };

const guards = (run: Run) => (run.options['ifVersion'] !== undefined ? { headers: { 'if-match': `"${run.options['ifVersion']}"` } } : {});

const ask = async (run: Run, change: Change, done: string): Promise<void> => {
  const body = { change, reason: run.options['reason'] } as Changes;
  const answer = await run.client.post('/v1/workflows/{id}/changes', { path: { id: run.args[0]! }, body, ...guards(run) });
  await print(run.format, answer, () => `${done}; ${answer.workflowId} is at version ${answer.version}`);
};

const asked = (command: Command): Command =>
  command
    .requiredOption('--reason <text>', 'why: it is kept in the history')
    .option('--if-version <version>', 'only if the workflow is at this version still', number);

type Verb = {
  readonly name: string;
  readonly does: string;
  readonly task?: string;
  readonly options?: (command: Command) => Command;
  readonly change: (run: Run) => Change | Promise<Change>;
  readonly done: (run: Run) => string;
  readonly examples: readonly string[];
};
const id = 'op-0199c0de-…';

const verb = (workflow: Command, v: Verb): void => {
  const command = workflow.command(v.name).argument('<workflow>').description(v.does);
  if (v.task) command.argument('<task>', v.task);
  examples(
    changing(asked(v.options?.(command) ?? command), async (run) => ask(run, await v.change(run), v.done(run))),
    ...v.examples.map((e) => `workflow ${v.name} ${id} ${e}`),
  );
};

const routed = (command: Command): Command =>
  command
    .option('--group <group>', 'the group of executors, e.g. agent-gateway')
    .option('--executor <executor>', 'one executor of it, e.g. host:rack2-new');
const routeOf = ({ options: { group, executor } }: Run): Members | undefined => {
  if (!group && executor) throw new UsageError('--executor needs the --group that can reach it');
  if (!group) return undefined;
  return executor ? { mode: 'direct', group, executor } : { mode: 'group', group };
};
const json = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InvalidArgumentError('JSON');
  }
};
/** Here nothing is something to say. */
const none = (text: string, before?: readonly string[]): string[] => (text === '' ? [...(before ?? [])] : collect(text, before));
const file = (command: Command): Command => command.requiredOption('-f, --file <file>', 'the task as YAML or JSON, - for stdin');
const given = (members: Members): Members => Object.fromEntries(Object.entries(members).filter(([, v]) => v !== undefined));

/** `attempts=3,backoff=500ms` */
const retry = (text: string): Members => {
  const { attempts, backoff = '0', max } = Object.fromEntries(text.split(',').map((p) => p.split('=') as [string, string]));
  if (!attempts) throw new InvalidArgumentError('e.g. attempts=3,backoff=500ms,max=10s');
  return given({ attempts: number(attempts), backoffMs: duration(backoff), maxBackoffMs: max === undefined ? undefined : duration(max) });
};

const item = 'a task; of a forEach also one item, e.g. copy.17';
const verbs: readonly Verb[] = [
  {
    name: 'pause',
    does: 'give out nothing new; what is under way goes on',
    change: () => ({ type: 'pause' }),
    done: () => 'paused',
    examples: ['--reason "look at h1 first"'],
  },
  {
    name: 'resume',
    does: 'go on after a pause',
    change: () => ({ type: 'resume' }),
    done: () => 'goes on',
    examples: ['--reason "h1 is fine"'],
  },
  {
    name: 'retry-from',
    does: 'run a task, and all that depends on it, again; a stopped workflow goes on',
    task: item,
    change: ({ args }) => ({ type: 'retry-from', task: args[1] }),
    done: ({ args }) => `${args[1]} and what depends on it run again`,
    examples: ['boot --reason "the host has memory again"'],
  },
  {
    name: 'skip',
    does: 'do without a task that does not run',
    task: item,
    change: ({ args }) => ({ type: 'skip-task', task: args[1] }),
    done: ({ args }) => `${args[1]} is skipped`,
    examples: ['notify --reason "nobody listens"'],
  },
  {
    name: 'mark-done',
    does: 'say that a task was done by hand; an execution under way is not listened to any more',
    task: item,
    options: (c) => c.option('--result <json>', 'its output, for the tasks that use it', json, {}),
    change: ({ args, options }) => ({ type: 'mark-done', task: args[1], output: options['result'] }),
    done: ({ args }) => `${args[1]} is done`,
    examples: [`place --result '{"hostId":"h2"}' --reason "placed by hand"`],
  },
  {
    name: 'reassign',
    does: 'give a task to another executor; an execution under way is superseded and begun anew there',
    task: item,
    options: (c) => routed(c),
    change: (run) => {
      const route = routeOf(run);
      if (!route) throw new UsageError('name a --group, and with it an --executor if it is to be one of it');
      return { type: 'reassign', task: run.args[1], route };
    },
    done: ({ args }) => `${args[1]} is given to others`,
    examples: ['copy.17 --group agent-gateway --executor host:rack2-new --reason "rack1 is slow"'],
  },
  {
    name: 'add-task',
    does: 'add a task',
    options: (c) => file(c).option('--before <tasks>', 'tasks that are to wait for it', collect),
    change: async ({ options }) => ({
      type: 'add-task',
      ...given({ task: await readDocument(options['file']), before: options['before'] }),
    }),
    done: () => 'added',
    examples: ['--file check.yaml --before boot --reason "check the disk first"'],
  },
  {
    name: 'duplicate',
    does: 'add a copy of a task under another name',
    task: 'the task to copy',
    options: (c) => routed(c.requiredOption('--as <name>', 'the name of the copy')),
    change: (run) => ({ type: 'duplicate-task', ...given({ task: run.args[1], as: run.options['as'], route: routeOf(run) }) }),
    done: ({ options }) => `${options['as']} is added`,
    examples: ['copy --as copy-again --reason "a second copy, to be sure"'],
  },
  {
    name: 'replace',
    does: 'put another task in the place of one that has not begun',
    task: 'the task; its name stays',
    options: file,
    change: async ({ args, options }) => ({ type: 'replace-task', task: args[1], with: await readDocument(options['file']) }),
    done: ({ args }) => `${args[1]} is another task now`,
    examples: ['notify --file notify.yaml --reason "by mail"'],
  },
  {
    name: 'rewire',
    does: 'change what a task that has not begun gets, and what it waits for',
    task: 'the task',
    options: (c) =>
      c.option('--input <json>', 'its whole input, with references', json).option('--after <tasks>', "all it waits for; '': nothing", none),
    change: ({ args, options }) => ({ type: 'rewire', ...given({ task: args[1], input: options['input'], after: options['after'] }) }),
    done: ({ args }) => `${args[1]} is wired anew`,
    examples: [`record --input '{"host":"\${tasks.place.output.hostId}"}' --after place --reason "not from boot"`],
  },
  {
    name: 'set-limits',
    does: 'change deadlines, concurrency, retries or priority, of a task or (without one) of the workflow',
    options: (c) =>
      c
        .option('--task <task>', 'else the workflow itself: only its deadline')
        .option('--deadline <time>', 'e.g. 10m', duration)
        .option('--concurrency <n>', 'of a forEach', positive)
        .option('--retry <policy>', 'attempts=3,backoff=500ms,max=10s', retry)
        .option('--heartbeat <time>', 'e.g. 30s', duration)
        .addOption(new Option('--priority <n>', '0 (last) to 9 (first)').argParser(number)),
    change: ({ options: o }) => ({
      type: 'set-limits',
      ...given({
        task: o['task'],
        deadlineMs: o['deadline'],
        concurrency: o['concurrency'],
        retry: o['retry'],
        heartbeatMs: o['heartbeat'],
        priority: o['priority'],
      }),
    }),
    done: () => 'limits are set',
    examples: ['--task copy --concurrency 50 --reason "night"', '--deadline 4h --reason "slow disks"'],
  },
];

export const workflowChangeCommands = (workflow: Command): void => {
  for (const v of verbs) verb(workflow, v);
  examples(
    changing(
      waits(
        asked(
          workflow
            .command('undo')
            .argument('<workflow>')
            .description('undo a workflow that has succeeded, or what is left of one whose undo failed or was given up'),
        ),
      ),
      async (run) => {
        const answer = await run.client.post('/v1/workflows/{id}/undo', {
          path: { id: run.args[0]! },
          body: { reason: run.options['reason'] },
          ...guards(run),
        });
        return finish(run, answer, 'asked to undo', answer.version);
      },
    ),
    `workflow undo ${id} --reason "not wanted after all" --wait`,
  );
};
