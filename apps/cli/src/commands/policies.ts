import type { Command } from 'commander';
import { action, changing, examples, listCommand, readDocument } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, fields, print, table, type Row } from '../show/output.ts';

const pathOf = (name: string | undefined, verb = ''): string => `/v1/workflow-policies/${encodeURIComponent(name!)}${verb}`;
const firesOn = (on: Row): string => (on['event'] ? String(on['event']) : `${on['schedule']}${on['timezone'] ? ` ${on['timezone']}` : ''}`);

/** `workflow policy …`: what starts workflows by itself. */
export const policyCommands = (workflow: Command): void => {
  const policy = workflow.command('policy').description('policies: an event or a schedule starts a workflow');
  listCommand(policy.command('list').alias('ls').description('the policies'), {
    path: '/v1/workflow-policies',
    empty: 'No policies. Write one down with: chrysalis workflow policy apply FILE',
    columns: {
      policy: (p) => p['name'],
      state: (p) => p['status'],
      on: (p) => firesOn(p['spec'].on),
      starts: (p) => p['spec'].start.template,
      tenant: (p) => p['tenant'],
      next: (p) => p['next'],
      failures: (p) => p['failures'],
    },
  });
  action(policy.command('get').argument('<policy>').description('a policy, and what it started last'), async ({ client, format, args }) => {
    const found = await client.request<Row>('GET', pathOf(args[0]));
    await print(format, found, () => policyText(found));
  });
  applyCommand(policy);
  switchCommands(policy);
  testCommand(policy);
};

const applyCommand = (policy: Command): void => {
  examples(
    changing(
      policy
        .command('apply')
        .argument('<file>', 'the policy as YAML or JSON, - for stdin')
        .description('write a policy down, or anew; the same again is the same')
        .option('--enable', 'and let it fire'),
      async ({ client, format, args, options }) => {
        const made = await client.request<Row>('POST', '/v1/workflow-policies', await readDocument(args[0]!));
        const answer = options['enable'] ? await client.request<Row>('POST', pathOf(made['name'], '/enable'), {}) : made;
        await print(format, { ...made, ...answer }, () => `${made['name']} is ${answer['status']}, revision ${made['revision']}`);
      },
    ),
    'workflow policy apply drain.yaml --enable',
    'workflow policy get drain-retiring-hosts -o json | jq .spec | chrysalis workflow policy apply -',
  );
};

const switchCommands = (policy: Command): void => {
  const verbs = {
    enable: ['POST', 'let it fire, from now on'],
    disable: ['POST', 'let it fire no more; what it started goes on'],
    remove: ['DELETE', 'remove it; its history stays'],
  } as const;
  for (const [verb, [method, what]] of Object.entries(verbs))
    examples(
      changing(
        policy
          .command(verb)
          .argument('<policy>')
          .description(what)
          .option('--reason <text>', 'why; kept in its history', `by chrysalis workflow policy ${verb}`),
        async ({ client, format, args, options }) => {
          const path = pathOf(args[0], verb === 'remove' ? '' : `/${verb}`);
          const answer = await client.request<Row>(method, path, { reason: options['reason'] });
          await print(format, answer, () => `${args[0]} is ${answer['status']}`);
        },
      ),
      `workflow policy ${verb} drain-retiring-hosts`,
    );
};

const testCommand = (policy: Command): void => {
  examples(
    action(
      policy
        .command('test')
        .argument('<policy>')
        .description('would it fire, and with what? Nothing is started')
        .option('--event <file>', 'for this event: `type` and `data` as YAML or JSON, - for stdin')
        .option('--at <moment>', 'at this moment (ISO 8601)'),
      async ({ client, format, args, options }) => {
        if (!options['event'] === !options['at']) throw new UsageError('give either --event or --at');
        const body = options['at'] ? { at: options['at'] } : { event: await readDocument(options['event']) };
        const answer = await client.request<Row>('POST', pathOf(args[0], '/test'), body);
        await print(format, answer, () => triedText(answer));
      },
    ),
    'workflow policy test drain-retiring-hosts --event changed.yaml',
    'workflow policy test audit-holds-daily --at 2026-11-23T00:00:00Z',
  );
};

const triedText = (t: Row): string =>
  fields({
    fires: t['fires'] ? 'yes' : 'no',
    why: t['why'] && `${t['why'].code}: ${t['why'].message}`,
    workflow: t['workflowId'],
    about: t['subject'],
    params: t['params'] && JSON.stringify(t['params']),
    next: t['next'],
  });

const policyText = (p: Row): string => {
  const { on, start, limits } = p['spec'] as Row;
  const last = p['lastFailure'] as Row | undefined;
  const head = fields({
    policy: p['name'],
    summary: p['summary'],
    state: `${p['status']}, revision ${p['revision']}`,
    tenant: p['tenant'] === '*' ? 'the fleet' : p['tenant'],
    on: firesOn(on),
    when: on['when'],
    next: p['next'],
    starts: start.template,
    params: JSON.stringify(start.params),
    limits: limits && JSON.stringify(limits),
    failures: p['failures'] ? `${p['failures']}; the last: ${last?.['code']}: ${last?.['message']}` : undefined,
  });
  return p['firings'].length === 0 ? head : `${head}\n\n${table(firingColumns, p['firings'])}`;
};

const firingColumns = {
  workflow: (f: Row) => f['workflowId'],
  by: (f: Row) => (f['cause'].kind === 'event' ? f['cause'].subject : f['cause'].at),
  state: (f: Row) => f['state'],
  age: (f: Row) => age(f['notedAt']),
  reason: (f: Row) => f['reason']?.code,
};
