import type { Client, MigrationTemplate } from '@chrysalis/api-client';
import { Option, type Command } from 'commander';
import { action, changing, collect, examples, positive, readDocument, readText, vmOf } from '../command.ts';
import { UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { print, ref, table } from '../show/output.ts';
import { movesText } from '../show/plan.ts';
import { nameAndVersion } from './catalogue.ts';

type Spec = MigrationTemplate['spec'];
/** The spec itself, or what `get` or `export` printed: its faults are for the server to tell. */
export const specIn = (document: unknown): Spec => {
  const inner = (document as Partial<MigrationTemplate> | null)?.spec;
  return typeof inner === 'object' && inner !== null ? inner : (document as Spec);
};

/** A version that is named, or the newest. */
const versionOf = async (client: Client, text: string): Promise<{ name: string; version: string }> => {
  const { name, version } = nameAndVersion(text);
  if (version !== undefined) return { name, version: String(version) };
  const { items } = await client.get('/v1/migration-templates/{name}/versions', { path: { name } });
  return { name, version: String(items[0]!.version) };
};

const FILE = ['-f, --file <file>', 'the spec, or what `template get` printed, as YAML or JSON, - for stdin'] as const;

/** What an editor of templates needs beside publishing. */
export const editorCommands = (template: Command): void => {
  readCommands(template);
  trialCommands(template);
  changeCommands(template);
};

const readCommands = (template: Command): void => {
  examples(
    action(
      template.command('versions').argument('<name>').description('its versions, the newest first'),
      async ({ client, format, args }) => {
        const { items } = await client.get('/v1/migration-templates/{name}/versions', { path: { name: args[0]! } });
        await print(format, items, () =>
          table<(typeof items)[number]>(
            { template: (t) => t.ref, published: (t) => t.publishedAt, state: (t) => (t.retired ? 'retired' : 'active') },
            items,
          ),
        );
      },
    ),
    'template versions small-to-large',
  );
  examples(
    action(
      template
        .command('export')
        .argument('<template>', '`name` or `name@version`')
        .description('as a document that can be imported, here or elsewhere')
        .addOption(new Option('--format <format>', 'what it is written in').choices(['yaml', 'json']).default('yaml')),
      async ({ client, options, args }) => {
        const path = await versionOf(client, args[0]!);
        const found = await client.get('/v1/migration-templates/{name}/{version}/export', { path, query: { format: options['format'] } });
        process.stdout.write(found.document);
      },
    ),
    'template export small-to-large > small-to-large.yaml',
    'template export small-to-large@2 --format json',
  );
  examples(
    action(
      template
        .command('diff')
        .argument('<from>', '`name@version`')
        .argument('<to>', 'a version of the same template: `name@version`, or its number')
        .description('what leads from one version to the other'),
      async ({ client, format, args }) => {
        const from = await versionOf(client, args[0]!);
        const to = /^\d+$/.test(args[1]!) ? { ...from, version: args[1]! } : await versionOf(client, args[1]!);
        if (to.name !== from.name) throw new UsageError(`two versions of one template are compared, not ${from.name} with ${to.name}`);
        const diff = await client.get('/v1/migration-templates/{name}/{version}/diff', { path: from, query: { with: to.version } });
        await print(format, diff, () => {
          if (diff.same) return `${diff.name}@${diff.from} and @${diff.to} are the same`;
          const text = (x: unknown): string => (x === undefined ? '' : JSON.stringify(x));
          const rows = [
            ...diff.options.map((o) => ({ what: o.path, change: 'changed', from: text(o.from), to: text(o.to) })),
            ...diff.steps.map((s) => ({ what: `${s.section} ${s.name}`, change: s.change, from: text(s.from), to: text(s.to) })),
          ];
          return table<(typeof rows)[number]>({ what: (r) => r.what, change: (r) => r.change, from: (r) => r.from, to: (r) => r.to }, rows);
        });
      },
    ),
    'template diff small-to-large@1 small-to-large@2',
    'template diff small-to-large@1 2',
  );
};

const trialCommands = (template: Command): void => {
  examples(
    action(
      template
        .command('validate')
        .description('what publishing a spec would find wrong; nothing is kept')
        .requiredOption(...FILE),
      async ({ client, format, options }) => {
        const spec = specIn(await readDocument(options['file']));
        const judged = await client.post('/v1/migration-templates/validate', { body: { spec } });
        await print(format, judged, () =>
          judged.valid
            ? `valid: ${judged.morph ? 'it leaves VMs on their hosts' : 'it moves VMs'}; steps ${Object.values(judged.steps ?? {}).join('/')}`
            : judged.findings.map((f) => `${f.path}: ${f.message} (${f.code})`).join('\n'),
        );
        return judged.valid ? exits.ok : exits.refused;
      },
    ),
    'template validate --file template.yaml',
  );
  examples(
    action(
      template
        .command('try')
        .description('what a plan by a spec would be; neither a template nor a plan is kept')
        .requiredOption(...FILE)
        .requiredOption('--vm <vm>', 'its id or its name; may be given again', collect),
      async ({ client, format, options }) => {
        const spec = specIn(await readDocument(options['file']));
        const vmIds = await Promise.all((options['vm'] as string[]).map(async (vm) => (await vmOf(client, vm)).vmId));
        const tried = await client.post('/v1/migration-templates/try', { body: { spec, vmIds } });
        await print(format, tried, () => movesText('A plan by this spec', tried.moves));
        return tried.ready ? exits.ok : exits.refused;
      },
    ),
    'template try --file template.yaml --vm web --vm db',
  );
};

const changeCommands = (template: Command): void => {
  examples(
    changing(
      template
        .command('update')
        .argument('<name>')
        .description('the spec becomes its newest version; what went by older ones goes on by them')
        .requiredOption(...FILE)
        .option('--if-version <n>', 'only if this is its newest version still: the `version` that `template get` shows', positive),
      async ({ client, format, args, options }) => {
        const spec = specIn(await readDocument(options['file']));
        const from = options['ifVersion'] === undefined ? {} : { from: options['ifVersion'] as number };
        const answer = await client.put('/v1/migration-templates/{name}', { path: { name: args[0]! }, body: { spec, ...from } });
        await print(format, answer, () => `published ${ref(answer)}`);
      },
    ),
    'template update small-to-large --file template.yaml',
    'template update small-to-large --file template.yaml --if-version 2',
  );
  examples(
    changing(
      template
        .command('clone')
        .argument('<template>', '`name` or `name@version`')
        .argument('<as>', 'a name that there is not yet')
        .description('publish it under another name'),
      async ({ client, format, args }) => {
        const { name, version } = nameAndVersion(args[0]!);
        const body = { as: args[1]!, ...(version === undefined ? {} : { version: Number(version) }) };
        const answer = await client.post('/v1/migration-templates/{name}/clone', { path: { name }, body });
        await print(format, answer, () => `published ${ref(answer)}`);
      },
    ),
    'template clone small-to-large small-to-large-tuned',
  );
  examples(
    changing(
      template
        .command('import')
        .description('publish a version from a document that was exported; the same again is the same version')
        .requiredOption('-f, --file <file>', 'the document, YAML or JSON, - for stdin')
        .option('--name <name>', 'publish it under this name'),
      async ({ client, format, options }) => {
        const name = options['name'] === undefined ? {} : { name: options['name'] };
        const answer = await client.post('/v1/migration-templates/import', { body: { document: readText(options['file']), ...name } });
        await print(format, answer, () => `published ${ref(answer)}`);
      },
    ),
    'template import --file small-to-large.yaml',
    'template export small-to-large | chrysalis template import -f - --name copy',
  );
};
