import type { AnswerOf, BodyOf, Client, WorkflowTemplate } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, changing, examples, listCommand, readDocument } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, print } from '../show/output.ts';
import { nameAndVersion } from './catalogue.ts';

const teaching = `
A template is a document of YAML or JSON. The least one:

  name: check-host
  summary: Look at a host
  params: { host: { type: string } }
  deadlineMs: 60000
  tasks:
    - name: facts
      kind: host.preflight
      summary: what the host says of itself
      input: { hostId: '\${params.host}' }
      deadlineMs: 10000
      route: { mode: direct, group: agent-gateway, executor: 'host:\${params.host}' }

Order comes from the data: a task that refers to \${tasks.facts.output.x} runs after facts; \`after: [facts]\` says it without data.
What does not depend runs in parallel. \`when\` is a condition (CEL), \`compensation\` what undoes the task.
\`chrysalis workflow template schema\` prints the JSON Schema, which editors complete by.`;

type Definition = BodyOf<'post', '/v1/workflow-templates'>['definition'];
const templateOf = (client: Client, text: string): Promise<WorkflowTemplate> => {
  const { name, version } = nameAndVersion(text);
  return version === undefined
    ? client.get('/v1/workflow-templates/{name}', { path: { name } })
    : client.get('/v1/workflow-templates/{name}/{version}', { path: { name, version } });
};

/** The document itself, or what `get` printed: then without what the registry gave it. */
const templateIn = (document: unknown): Definition => {
  const inner = (document as { definition?: WorkflowTemplate['definition'] | null } | null)?.definition;
  if (typeof inner !== 'object' || inner === null) return document as Definition; // its faults are for the server to tell
  const { version: _, ...definition } = inner;
  return definition;
};

/** What is no fault, and yet not what its author meant. */
const warn = ({
  warnings = [],
}: AnswerOf<'post', '/v1/workflow-templates'> | AnswerOf<'post', '/v1/workflow-templates/validate'>): void => {
  for (const w of warnings) process.stderr.write(`warning ${w.place}: ${w.message}\n`);
};

export const workflowTemplateCommands = (workflow: Command): void => {
  const template = workflow.command('template').description('workflow templates: tasks as data, in immutable versions');
  template.addHelpText('after', teaching);
  listCommand(template.command('list').alias('ls').description('the templates, each with its newest version'), {
    path: '/v1/workflow-templates',
    empty: 'No workflow templates. Publish one with: chrysalis workflow template publish FILE',
    columns: {
      template: (t) => t['ref'],
      tasks: (t) => t['tasks'],
      params: (t) => Object.keys(t['params'] ?? {}).join(','),
      state: (t) => (t['retired'] ? 'retired' : 'active'),
      age: (t) => age(t['at']),
      summary: (t) => t['summary'],
    },
  });
  examples(
    action(
      template.command('get').argument('<template>', '`name` or `name@version`').description('a template, all of it'),
      async ({ client, format, args }) => {
        const found = await templateOf(client, args[0]!);
        await print(format === 'table' ? 'yaml' : format, found, () => '');
      },
    ),
    'workflow template get check-host@1',
    'workflow template get check-host > check-host.yaml   # edit it, then publish it again',
  );
  publishCommands(template);
  retireCommand(template);
  schemaCommand(template);
};

const publishCommands = (template: Command): void => {
  examples(
    changing(
      template
        .command('publish')
        .argument('<file>', 'YAML or JSON, - for stdin')
        .description('publish a version; the same content again is the same version. Every fault is told, with its place'),
      async ({ client, format, args }) => {
        const answer = await client.post('/v1/workflow-templates', { body: { definition: templateIn(await readDocument(args[0]!)) } });
        warn(answer);
        await print(format, answer, () => `published ${answer['ref']}`);
      },
    ),
    'workflow template publish check-host.yaml',
    'workflow template get check-host -o json | jq ".definition.summary = \\"new\\"" | chrysalis workflow template publish -',
  );
  examples(
    action(
      template
        .command('validate')
        .argument('<file>', 'YAML or JSON, - for stdin')
        .description('what publishing would find wrong; nothing is kept'),
      async ({ client, format, args }) => {
        const answer = await client.post('/v1/workflow-templates/validate', {
          body: { definition: templateIn(await readDocument(args[0]!)) },
        });
        warn(answer);
        await print(format, answer, () => `${answer['name']} is valid: ${answer['tasks']} tasks`);
      },
    ),
    'workflow template validate check-host.yaml',
  );
};

const retireCommand = (template: Command): void => {
  examples(
    changing(
      template.command('retire').argument('<name>').description('no new starts by this name; what runs or is queued goes on'),
      async ({ client, format, args }) => {
        if (args[0]!.includes('@')) throw new UsageError('a template is retired with all its versions: give its name alone');
        const answer = await client.delete('/v1/workflow-templates/{name}', { path: { name: args[0]! } });
        await print(format, answer, () => `retired ${answer['name']}`);
      },
    ),
    'workflow template retire check-host',
  );
};

const schemaCommand = (template: Command): void => {
  examples(
    action(template.command('schema').description('the JSON Schema of a template, for editors and linters'), async ({ client, format }) => {
      const schema = await client.get('/v1/workflow-templates/schema');
      await print(format === 'table' ? 'json' : format, schema, () => '');
    }),
    'workflow template schema > workflow-template.schema.json',
  );
};
