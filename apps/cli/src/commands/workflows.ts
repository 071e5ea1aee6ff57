import type { Command } from 'commander';
import { action, changing, duration, examples, finish, listCommand, operationText, waits } from '../command.ts';
import { exits } from '../exit.ts';
import { onInterrupt } from '../interrupt.ts';
import { subjectOf } from '../named.ts';
import { executorCommands } from './executors.ts';
import { policyCommands } from './policies.ts';
import { workflowChangeCommands } from './workflow-changes.ts';
import { workflowSeeCommands } from './workflow-see.ts';
import { workflowStartCommands } from './workflow-start.ts';
import { workflowTemplateCommands } from './workflow-templates.ts';
import type { Operation, WorkflowGraph } from '@chrysalis/api-client';
import { age, fields, print, took } from '../show/output.ts';

export const workflowCommands = (program: Command): void => {
  const workflow = program
    .command('workflow')
    .description('workflows: start them, see their graphs, the queue in front, and their templates');
  listCommand(workflow.command('list').alias('ls').description('the workflows, newest first'), {
    path: '/v1/workflows',
    filters: {
      state: 'queued, running, compensating, succeeded, undone, failed, stopped or cancelled',
      subject: 'about this VM (id or name), host, move or query',
      name: 'of this template',
    },
    named: { subject: subjectOf },
    empty: 'No workflows.',
    columns: {
      workflow: (w) => w['workflowId'],
      name: (w) => w['name'],
      state: (w) => w['state'],
      done: (w) => `${w['counts'].succeeded + w['counts'].skipped}/${w['counts'].total}`,
      about: (w) => w['subject'],
      age: (w) => age(w['startedAt'] ?? w['queuedAt']),
    },
  });
  examples(
    action(
      workflow
        .command('get')
        .argument('<workflow>')
        .description('the whole graph, with the state of each task')
        .option('--as-of <moment>', 'as it was then (ISO 8601)'),
      async ({ client, format, args, options }) => {
        const found = await client.get('/v1/workflows/{id}', { path: { id: args[0]! }, query: { asOf: options['asOf'] } });
        const text = await textOf(found);
        await print(format, found, () => text);
      },
    ),
    'workflow get op-0199c0de-…',
    'workflow get op-0199c0de-… --as-of 2026-11-23T09:00:05Z',
  );
  workflowSeeCommands(workflow, textOf);
  workflowChangeCommands(workflow);
  executorCommands(workflow);
  cancelCommand(workflow, 'workflow');
  policyCommands(workflow);
  workflowStartCommands(workflow);
  workflowTemplateCommands(workflow);
};

const textOf = async (view: WorkflowGraph): Promise<string> => {
  const { graphText } = await import('../show/graph.ts');
  return `${workflowHead(view)}\n\n${graphText(view)}`;
};

const cancelCommand = (parent: Command, noun: 'workflow' | 'operation'): void => {
  const command = parent.command('cancel').argument(`<${noun}>`).description('finished tasks are undone where they still can be');
  command.option('--reason <text>', 'why', `by chrysalis ${noun} cancel`);
  if (noun === 'workflow') command.option('--no-compensate', 'end at once and undo nothing: what is left is named');
  examples(
    changing(waits(command), async (run) => {
      const path = { id: run.args[0]! };
      const { reason, compensate } = run.options;
      const answer =
        noun === 'workflow'
          ? await run.client.post('/v1/workflows/{id}/cancel', { path, body: { reason, ...(compensate === false ? { compensate } : {}) } })
          : await run.client.post('/v1/operations/{id}/cancel', { path, body: { reason } });
      return finish(run, { ...answer, operation: run.args[0]! }, 'asked to cancel');
    }),
    `${noun} cancel op-0199c0de-… --reason "not needed" --wait`,
  );
};

const workflowHead = (w: WorkflowGraph): string =>
  fields({
    workflow: w['workflowId'],
    name: w['name'] && `${w['name']}@${w['definitionVersion'] ?? ''}`,
    about: w['subject'],
    state: w['paused'] ? `${w['state']}, paused` : w['state'],
    version: w['version'],
    'part of': w['parent'] && `${w['parent'].workflowId}, task ${w['parent'].task}`,
    'asked to end': w['cancelRequested'],
    took: took(w['startedAt'], w['endedAt']),
    cause: w['cause'] && `${w['cause'].code}: ${w['cause'].message}`,
    missing: w['missing']?.join(', '),
  });

export const operationCommands = (program: Command): void => {
  const operation = program.command('operation').description('what commands with an answer 202 do');
  listCommand(operation.command('list').alias('ls').description('the operations, newest first'), {
    path: '/v1/operations',
    filters: {
      state: 'queued, running, succeeded, undone, failed or stopped',
      subject: 'about this VM (id or name), host, move or query',
      kind: 'workflow or migration',
    },
    named: { subject: subjectOf },
    empty: 'No operations.',
    columns: {
      operation: (o) => o['id'],
      what: (o) => o['name'],
      state: (o) => o['state'],
      progress: (o) => `${o['progress'].done}/${o['progress'].total} ${o['progress'].unit}`,
      about: (o) => o['subject'],
      age: (o) => age(o['startedAt'] ?? o['queuedAt']),
      cause: (o) => o['cause']?.code,
    },
  });
  action(operation.command('get').argument('<operation>').description('an operation'), async ({ client, format, args }) => {
    const found = await client.operation(args[0]!);
    await print(format, found, () => operationText(found));
  });
  examples(
    action(
      operation
        .command('wait')
        .argument('<operation>')
        .description('wait for the end; exit code 0 if it succeeded')
        .option('--timeout <time>', 'wait at most so long', duration, 600_000),
      async ({ client, format, args, options }) => {
        onInterrupt(`${args[0]} goes on`, `chrysalis operation watch ${args[0]}`);
        const ended = await client.waitOperation(args[0]!, { timeoutMs: options['timeout'] });
        return ended_(format, ended);
      },
    ),
    'operation wait op-0199c0de-… --timeout 90s && echo done',
  );
  action(
    operation
      .command('watch')
      .argument('<operation>')
      .description('show what happens until the end')
      .option('--timeout <time>', 'at most so long', duration, 600_000),
    async ({ client, format, args, options, quiet }) => {
      const { waitShown } = await import('../show/live.ts');
      onInterrupt(`${args[0]} goes on`, `chrysalis operation watch ${args[0]}`);
      return ended_(format, await waitShown(client, args[0]!, { timeoutMs: options['timeout'], quiet }));
    },
  );
  cancelCommand(operation, 'operation');
};

const ended_ = async (format: Parameters<typeof print>[0], operation: Operation): Promise<number> => {
  await print(format, operation, () => operationText(operation));
  return operation.state === 'succeeded' ? exits.ok : exits.failed;
};
