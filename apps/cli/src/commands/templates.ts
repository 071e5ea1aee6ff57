import type { BodyOf, Client, MigrationTemplate } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, changing, examples, listCommand, readDocument, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, print, ref } from '../show/output.ts';
import { nameAndVersion } from './catalogue.ts';
import { editorCommands, specIn } from './template-editor.ts';

const templateOf = (client: Client, text: string): Promise<MigrationTemplate> => {
  const { name, version } = nameAndVersion(text);
  return version === undefined
    ? client.get('/v1/migration-templates/{name}', { path: { name } })
    : client.get('/v1/migration-templates/{name}/{version}', { path: { name, version } });
};

/** A template with every section, for the types that `npm run up` has. */
const exampleTemplate = `# from what VMs are to what they become: chrysalis type list
sourceType: { name: small, version: 1 }
options:
  targetType: { name: large, version: 1 }
  method: pre-copy
  # expose: the guest is to use what is new; hide: it gets it later
  newResources: expose
  # packages that its agent may add: none here
  augmentation: []
  emulateIncompatible: false
  downtimeLimitMs: 100
  maxBandwidthMiBps: 1024
# scripts in the guest, by its agent; undo takes back what one did
preMigration:
  - { kind: guest-script, name: quiesce, script: 'sync', undo: 'true', timeoutMs: 10000 }
# what the target does not have: { kind: unplug-disk, name: unplug-back, disk: back },
# and to have less of: { kind: unplug-cpus, name: unplug-cpus, vcpus: 1 }, { kind: unplug-memory, name: unplug-memory, memoryMiB: 512 }
hotUnplug:
  - { kind: unplug-nic, name: unplug-legacy, nic: legacy }
# without it the VM changes where it is
migration:
  - { kind: live-migration, name: live-migration }
# what it has besides; a NIC that is new: { kind: plug-nic, name: plug-back, nic: back, network: back }
hotPlug:
  - { kind: plug-cpus, name: plug-cpus, vcpus: 2 }
  - { kind: plug-memory, name: plug-memory, memoryMiB: 1024 }
  - { kind: grow-disk, name: grow-data, disk: data, sizeMiB: 256 }
postMigration:
  - { kind: online-cpus, name: online-cpus, vcpus: 2 }
  - { kind: online-memory, name: online-memory, memoryMiB: 1024 }
  - { kind: grow-filesystem, name: grow-filesystem-data, disk: data }
`;

export const templateCommands = (program: Command): void => {
  const template = program.command('template').description('migration templates: five sections and options, in immutable versions');
  listCommand(template.command('list').alias('ls').description('the templates, each with its newest version'), {
    path: '/v1/migration-templates',
    empty: 'No templates. Make one with: chrysalis template from-option NAME --query QUERY --option OPTION',
    columns: {
      template: (t) => ref(t),
      from: (t) => ref(t['spec'].sourceType),
      to: (t) => ref(t['spec'].options.targetType),
      method: (t) => (t['spec'].migration.length ? t['spec'].options.method : 'in place'),
      steps: (t) =>
        (['preMigration', 'hotUnplug', 'migration', 'hotPlug', 'postMigration'] as const).map((s) => t['spec'][s].length).join('/'),
      state: (t) => (t['retired'] ? 'retired' : 'active'),
      age: (t) => age(t['publishedAt']),
    },
  });
  action(
    template.command('get').argument('<template>', '`name` or `name@version`').description('a template'),
    async ({ client, format, args }) => {
      const found = await templateOf(client, args[0]!);
      await print(format === 'table' ? 'yaml' : format, found, () => '');
    },
  );
  examples(
    action(template.command('schema').description('the JSON Schema of a spec, for editors and linters'), async ({ format }) => {
      const { TemplateSpec } = await import('@chrysalis/contracts');
      const { z } = await import('zod');
      const schema = {
        title: 'The spec of a migration template of Chrysalis',
        ...z.toJSONSchema(TemplateSpec, { target: 'draft-2020-12', io: 'input' }),
      };
      await print(format === 'table' ? 'json' : format, schema, () => '');
    }),
    'template schema > template.schema.json',
  );
  publishCommands(template);
  editorCommands(template);
  endCommands(template);
};

/** With all its versions: the name alone. */
const nameAlone = (text: string, what: string): string => {
  if (text.includes('@')) throw new UsageError(`a template is ${what} with all its versions: give its name alone`);
  return text;
};

const endCommands = (template: Command): void => {
  examples(
    changing(
      template.command('retire').argument('<name>').description('it takes no new migrations; what runs goes on'),
      async ({ client, format, args }) => {
        const name = nameAlone(args[0]!, 'retired');
        const answer = await client.post('/v1/migration-templates/{name}/retire', { path: { name }, body: {} });
        await print(format, answer, () => `retired ${answer['name']}`);
      },
    ),
    'template retire small-to-large',
  );
  examples(
    changing(
      template.command('delete').argument('<name>').description('with its versions, while no migration goes by it'),
      async ({ client, format, args }) => {
        const name = nameAlone(args[0]!, 'deleted');
        const answer = await client.delete('/v1/migration-templates/{name}', { path: { name } });
        await print(format, answer, () => `deleted ${answer['name']}`);
      },
    ),
    'template delete small-to-large',
  );
};

const publishCommands = (template: Command): void => {
  const published = async (run: Run, body: BodyOf<'post', '/v1/migration-templates'>): Promise<void> => {
    const answer = await run.client.post('/v1/migration-templates', { body });
    await print(run.format, answer, () => `published ${ref(answer)}`);
  };
  examples(
    changing(
      template
        .command('create')
        .argument('<name>')
        .description('publish a version')
        .option('-f, --file <file>', 'the spec, or what `template get` printed, as YAML or JSON, - for stdin')
        .option('--example', 'write a spec to begin with, and publish nothing'),
      async (run) => {
        if (run.options['example']) return void process.stdout.write(exampleTemplate);
        if (!run.options['file']) throw new UsageError('give the spec with --file FILE; --example writes one to begin with');
        await published(run, { name: run.args[0]!, spec: specIn(await readDocument(run.options['file'])) });
      },
    ),
    'template create small-to-large --example > template.yaml',
    'template create small-to-large --file template.yaml',
    'template get small-to-large -o json | jq ".spec.options.downtimeLimitMs = 200" | chrysalis template create small-to-large -f -',
  );
  examples(
    changing(
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
          name: run.args[0]!,
          fromOption: { queryId: run.options['query'], optionId: run.options['option'] },
          ...steps,
        });
      },
    ),
    'template from-option small-to-large --query q-… --option large@1:move:pre-copy:expose',
  );
};
