import type { AnswerOf, BodyOf, Policy } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, changing, examples, listCommand, readDocument } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, fields, print, table, type Columns } from '../show/output.ts';

const firesOn = (on: Policy['spec']['on']): string => ('event' in on ? on.event : `${on.schedule}${on.timezone ? ` ${on.timezone}` : ''}`);

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
    const found = await client.get('/v1/workflow-policies/{name}', { path: { name: args[0]! } });
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
        const body = (await readDocument(args[0]!)) as Policy['spec'];
        const made = await client.post('/v1/workflow-policies', { body, ...(options['enable'] ? { query: { enable: 'true' } } : {}) });
        await print(format, made, () => `${made.name} is ${made.status}, revision ${made.revision}`);
      },
    ),
    'workflow policy apply drain.yaml --enable',
    'workflow policy get drain-retiring-hosts -o json | jq .spec | chrysalis workflow policy apply -',
  );
};

const switchCommands = (policy: Command): void => {
  const verbs = {
    enable: 'let it fire, from now on',
    disable: 'let it fire no more; what it started goes on',
    remove: 'remove it; its history stays',
  } as const;
  for (const verb of ['enable', 'disable', 'remove'] as const)
    examples(
      changing(
        policy
          .command(verb)
          .argument('<policy>')
          .description(verbs[verb])
          .option('--reason <text>', 'why; kept in its history', `by chrysalis workflow policy ${verb}`),
        async ({ client, format, args, options }) => {
          const given = { path: { name: args[0]! }, body: { reason: options['reason'] } };
          const answer =
            verb === 'remove'
              ? await client.delete('/v1/workflow-policies/{name}', given)
              : await client.post(`/v1/workflow-policies/{name}/${verb}`, given);
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
        const answer = await client.post('/v1/workflow-policies/{name}/test', {
          path: { name: args[0]! },
          body: body as BodyOf<'post', '/v1/workflow-policies/{name}/test'>,
        });
        await print(format, answer, () => triedText(answer));
      },
    ),
    'workflow policy test drain-retiring-hosts --event changed.yaml',
    'workflow policy test audit-holds-daily --at 2026-11-23T00:00:00Z',
  );
};

const triedText = (t: AnswerOf<'post', '/v1/workflow-policies/{name}/test'>): string =>
  fields({
    fires: t['fires'] ? 'yes' : 'no',
    why: t['why'] && `${t['why'].code}: ${t['why'].message}`,
    workflow: t['workflowId'],
    about: t['subject'],
    params: t['params'] && JSON.stringify(t['params']),
    next: t['next'],
  });

const policyText = ({ firings = [], ...p }: Policy): string => {
  const { on, start, limits } = p.spec;
  const last = p.lastFailure;
  const head = fields({
    policy: p['name'],
    summary: p['summary'],
    state: `${p['status']}, revision ${p['revision']}`,
    tenant: p['tenant'] === '*' ? 'the fleet' : p['tenant'],
    on: firesOn(on),
    when: 'when' in on ? on.when : undefined,
    next: p['next'],
    starts: start.template,
    params: JSON.stringify(start.params),
    limits: limits && JSON.stringify(limits),
    failures: p['failures'] ? `${p['failures']}; the last: ${last?.code}: ${last?.message}` : undefined,
  });
  return firings.length === 0 ? head : `${head}\n\n${table(firingColumns, firings)}`;
};

const firingColumns: Columns<NonNullable<Policy['firings']>[number]> = {
  workflow: (f) => f.workflowId,
  by: (f) => (f.cause.kind === 'event' ? f.cause.subject : f.cause.at),
  state: (f) => f.state,
  age: (f) => age(f.notedAt),
  reason: (f) => f.reason?.code,
};
