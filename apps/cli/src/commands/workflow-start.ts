import type { AnswerOf } from '@chrysalis/api-client';
import type { Command, OptionValues } from 'commander';
import { action, changing, collect, examples, finish, listCommand, number, readDocument, waits, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, fields, print, table } from '../show/output.ts';

/** `vm=vm-1`, `count=3`, `on=true`, `hosts=["h1","h2"]`: JSON where it is JSON, else text. `k:=v` is always text. */
export const paramOf = (text: string): [string, unknown] => {
  const m = /^([A-Za-z_][\w-]*)(:?=)(.*)$/s.exec(text);
  if (!m) throw new UsageError(`--param ${text}: write name=value`);
  if (m[2] === ':=') return [m[1]!, m[3]!];
  try {
    return [m[1]!, JSON.parse(m[3]!)];
  } catch {
    return [m[1]!, m[3]!];
  }
};

const paramsOf = async ({ options }: Run): Promise<Record<string, unknown>> => {
  const given: unknown = options['params'] ? await readDocument(options['params']) : {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new UsageError('--params: a document of names and values');
  return { ...given, ...Object.fromEntries(((options['param'] as string[] | undefined) ?? []).map(paramOf)) };
};

const one = (value: string, before: readonly string[] = []): string[] => [...before, value];

export const workflowStartCommands = (workflow: Command): void => {
  examples(
    changing(
      waits(
        workflow
          .command('start')
          .argument('<template>', '`name` for the newest version, or `name@version`')
          .description('start a workflow of a template. Where a limit is reached it waits in the queue')
          .option(
            '-p, --param <name=value>',
            'a param; values are JSON where they can be, `name:=value` is text as it is; again for more',
            one,
          )
          .option('--params <file>', 'params as YAML or JSON, - for stdin; --param adds to them')
          .option('--priority <n>', '0 (last) to 9 (first)', number, 5)
          .option('--subject <id>', 'what it is about: a VM, a host, …')
          .option('--key <key>', 'started once for this key, however often this is run')
          .option('--watch', 'the same as --wait'),
      ),
      async (run) => {
        const { options, client } = run;
        const { subject, priority, key } = options;
        const body = { template: run.args[0]!, params: await paramsOf(run), priority, ...(subject ? { subject } : {}) };
        const answer = await client.post('/v1/workflows', { body, ...(key ? { idempotencyKey: key } : {}) });
        const wait = options['wait'] ?? options['watch'];
        return finish({ ...run, options: { ...options, wait } }, answer, answer['queued'] ? 'queued: a limit is reached' : 'started');
      },
    ),
    'workflow start check-host --param host=h1 --wait',
    'workflow start drain-host@2 --params drain.yaml --priority 9',
    'workflow start audit --param \'hosts=["h1","h2"]\' --key audit-2026-11-23',
  );
  examples(
    listCommand(
      workflow.command('queue').description('what waits for its start, first who goes before others; `at` is its place among its tenant’s'),
      {
        path: '/v1/workflow-queue',
        filters: { tenant: 'only of this tenant' },
        empty: 'Nothing waits.',
        columns: {
          at: (q) => q['position'],
          workflow: (q) => q['workflowId'],
          template: (q) => `${q['name']}@${q['version']}`,
          priority: (q) => q['priority'],
          tenant: (q) => q['tenant'],
          about: (q) => q['subject'],
          waits: (q) => age(q['queuedAt']),
          state: (q) => q['state'],
        },
      },
    ),
    'workflow queue',
    'workflow queue --watch',
    'workflow cancel op-0199c0de-…   # also before it starts',
  );
  limitCommands(workflow);
};

/** `acme=10`, as the name and the number. */
const bound = (text: string): [string, number] => {
  const m = /^([^=]+)=(\d+)$/.exec(text);
  if (!m) throw new UsageError(`${text}: write name=number`);
  return [m[1]!, Number(m[2])];
};

type Limits = AnswerOf<'get', '/v1/workflow-limits'>['limits'];
const limitCommands = (workflow: Command): void => {
  const limits = workflow.command('limits').description('how many workflows may run, and how many do');
  examples(
    action(limits, async ({ client, format }) => {
      const found = await client.get('/v1/workflow-limits');
      await print(format, found, () => limitsText(found));
    }),
    'workflow limits',
    'workflow limits set --overall 200 --per-tenant 20',
  );
  examples(
    changing(
      limits
        .command('set')
        .description('change limits; what is not named stays. In force everywhere within a second; what runs goes on')
        .option('--overall <n>', 'workflows at a time, of everybody; 0 stops new starts', number)
        .option('--per-tenant <n>', 'of each tenant', number)
        .option('--tenant <name=n>', 'of this tenant; again for more', collect)
        .option('--kind <template=n>', 'of this template; again for more', collect)
        .option('--queued <n>', 'requests that may wait, of each tenant', number)
        .option('--weight <tenant=n>', 'its share where tenants compete; again for more', collect)
        .option('--clear', 'first take all limits away')
        .option('-f, --file <file>', 'the whole of them as YAML or JSON, - for stdin'),
      async ({ client, format, options }) => {
        const now = options['clear'] ? {} : (await client.get('/v1/workflow-limits')).limits;
        const wanted = options['file'] ? ((await readDocument(options['file'])) as Limits) : changed(now, options);
        const answer = await client.put('/v1/workflow-limits', { body: wanted });
        await print(format, answer, () => limitsText({ ...answer, running: [] }));
      },
    ),
    'workflow limits set --overall 200 --per-tenant 20 --tenant acme=50 --weight acme=3',
    'workflow limits set --kind drain-host=2',
    'workflow limits set --overall 0      # nothing new starts; --clear to go on',
    'workflow limits set --clear',
  );
};

const changed = (now: Limits, o: OptionValues): Limits => {
  const tenants: NonNullable<Limits['tenants']> = { ...now.tenants };
  for (const [name, running] of ((o['tenant'] as string[] | undefined) ?? []).map(bound)) tenants[name] = { ...tenants[name], running };
  for (const [name, weight] of ((o['weight'] as string[] | undefined) ?? []).map(bound)) tenants[name] = { ...tenants[name], weight };
  const kinds = {
    ...now.kinds,
    ...Object.fromEntries(((o['kind'] as string[] | undefined) ?? []).map(bound).map(([k, running]) => [k, { running }])),
  };
  const perTenant = {
    ...now.perTenant,
    ...(o['perTenant'] === undefined ? {} : { running: o['perTenant'] }),
    ...(o['queued'] === undefined ? {} : { queued: o['queued'] }),
  };
  return {
    ...now,
    ...(o['overall'] === undefined ? {} : { overall: { running: o['overall'] } }),
    ...(Object.keys(perTenant).length > 0 ? { perTenant } : {}),
    ...(Object.keys(tenants).length > 0 ? { tenants } : {}),
    ...(Object.keys(kinds).length > 0 ? { kinds } : {}),
  };
};

const limitsText = ({ limits, running }: AnswerOf<'get', '/v1/workflow-limits'>): string => {
  const tenant = (t: NonNullable<Limits['perTenant']>): string =>
    [
      t['running'] === undefined ? undefined : `${t['running']} at a time`,
      t['queued'] === undefined ? undefined : `${t['queued']} may wait`,
      t['weight'] === undefined ? undefined : `weight ${t['weight']}`,
    ]
      .filter(Boolean)
      .join(', ');
  const rows = {
    overall: limits.overall?.running === undefined ? 'no limit' : `${limits.overall.running} at a time`,
    'each tenant': limits.perTenant ? tenant(limits.perTenant) : 'no limit',
    ...Object.fromEntries(Object.entries(limits.tenants ?? {}).map(([n, t]) => [`tenant ${n}`, tenant(t)])),
    ...Object.fromEntries(Object.entries(limits.kinds ?? {}).map(([n, k]) => [`kind ${n}`, `${k['running']} at a time`])),
  };
  const now = table({ tenant: (r) => r['tenant'], kind: (r) => r['kind'], running: (r) => r['count'] }, running);
  return running.length > 0 ? `${fields(rows)}\n\n${now}` : fields(rows);
};
