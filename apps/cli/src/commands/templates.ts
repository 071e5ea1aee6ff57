import type { Command } from 'commander';
import { action, examples, listCommand, readDocument, type Run } from '../command.ts';
import { age, print, ref, type Row } from '../show/output.ts';
import { refPath } from './catalogue.ts';

export const templateCommands = (program: Command): void => {
  const template = program.command('template').description('migration templates: five sections and options, in immutable versions');
  listCommand(template.command('list').alias('ls').description('the templates, each with its newest version'), {
    path: '/v1/migration-templates',
    empty: 'No templates. Make one with: chrysalis template from-option NAME --query QUERY --option OPTION',
    columns: {
      template: (t) => ref(t as never),
      from: (t) => ref(t['spec'].sourceType),
      to: (t) => ref(t['spec'].options.targetType),
      method: (t) => (t['spec'].migration.length ? t['spec'].options.method : 'in place'),
      steps: (t) => ['preMigration', 'hotUnplug', 'migration', 'hotPlug', 'postMigration'].map((s) => t['spec'][s].length).join('/'),
      state: (t) => (t['retired'] ? 'retired' : 'active'),
      age: (t) => age(t['publishedAt']),
    },
  });
  action(
    template.command('get').argument('<template>', '`name` or `name@version`').description('a template'),
    async ({ client, format, args }) => {
      const found = await client.request<Row>('GET', `/v1/migration-templates/${refPath(args[0]!)}`);
      await print(format === 'table' ? 'yaml' : format, found, () => '');
    },
  );
  const published = async (run: Run, body: object): Promise<void> => {
    const answer = await run.client.request<Row>('POST', '/v1/migration-templates', body);
    await print(run.format, answer, () => `published ${ref(answer as never)}`);
  };
  examples(
    action(
      template
        .command('create')
        .argument('<name>')
        .description('publish a version')
        .requiredOption('-f, --file <file>', 'the spec as YAML or JSON, - for stdin'),
      async (run) => published(run, { name: run.args[0], spec: await readDocument(run.options['file']) }),
    ),
    'template create small-to-large --file template.yaml',
  );
  examples(
    action(
      template
        .command('from-option')
        .argument('<name>')
        .description('publish a version from an option that a query offered')
        .requiredOption('--query <query>', 'the options query')
        .requiredOption('--option <option>', 'the id of the option')
        .option('-f, --file <file>', 'preMigration and postMigration steps to add, as YAML or JSON'),
      async (run) => {
        const steps = run.options['file'] ? ((await readDocument(run.options['file'])) as object) : {};
        await published(run, {
          name: run.args[0],
          fromOption: { queryId: run.options['query'], optionId: run.options['option'] },
          ...steps,
        });
      },
    ),
    'template from-option small-to-large --query q-… --option large@1:move:pre-copy:expose',
  );
};
