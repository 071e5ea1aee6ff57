import type { Command } from 'commander';
import { action, examples, listCommand, readDocument, readText } from '../command.ts';
import { UsageError } from '../errors.ts';
import { age, print, ref, type Row } from '../show/output.ts';

/** `small` or `small@2` as the path of one version. */
export const refPath = (text: string): string => text.split('@').map(encodeURIComponent).join('/');

export const catalogueCommands = (program: Command): void => {
  const type = program.command('type').description('VM types: named, versioned shapes');
  const shape = (t: Row): Row => t['spec'];
  listCommand(type.command('list').alias('ls').description('the types, each with its newest version'), {
    path: '/v1/vm-types',
    empty: 'No VM types. Publish one with: chrysalis type publish NAME --file SPEC',
    columns: {
      type: (t) => ref(t as never),
      vcpus: (t) => `${shape(t)['vcpus'].now} (max ${shape(t)['vcpus'].max})`,
      'memory MiB': (t) => `${shape(t)['memoryMiB'].now} (max ${shape(t)['memoryMiB'].max})`,
      disks: (t) =>
        shape(t)
          ['disks'].map((d: Row) => `${d['id']}:${d['sizeMiB']}`)
          .join(','),
      nics: (t) =>
        shape(t)
          ['nics'].map((n: Row) => `${n['id']}:${n['network']}`)
          .join(','),
      cpu: (t) => shape(t)['cpuModel'],
    },
  });
  action(type.command('get').argument('<type>', '`small` or `small@1`').description('a type'), async ({ client, format, args }) => {
    const found = await client.request<Row>('GET', `/v1/vm-types/${refPath(args[0]!)}`);
    await print(format === 'table' ? 'yaml' : format, found, () => '');
  });
  examples(
    action(
      type
        .command('publish')
        .argument('<name>')
        .description('publish a version; the same shape again is the same version')
        .requiredOption('-f, --file <file>', 'the spec as YAML or JSON, - for stdin'),
      async ({ client, format, args, options }) => {
        const answer = await client.request<Row>('POST', '/v1/vm-types', { name: args[0], spec: await readDocument(options['file']) });
        await print(format, answer, () => `published ${ref(answer as never)}`);
      },
    ),
    'type publish large --file large.yaml',
    'type get small -o json | jq .spec | chrysalis type publish small2 -f -',
  );
  examples(
    action(
      type
        .command('deprecate')
        .argument('<type>', '`small@1`')
        .description('takes no new VMs any more; a policy may move those there are')
        .option('--replacement <type>', 'the version that takes its place')
        .requiredOption('--reason <text>', 'why'),
      async ({ client, format, args, options }) => {
        const { reason, replacement } = options;
        const answer = await client.request<Row>('POST', `/v1/vm-types/${refPath(args[0]!)}/deprecate`, {
          reason,
          ...(replacement ? { replacement } : {}),
        });
        await print(format, answer, () => `${args[0]} is deprecated`);
      },
    ),
    'type deprecate small@1 --replacement small@2 --reason "its CPU model is not made any more"',
  );
  const image = program.command('image').description('guest images');
  listCommand(image.command('list').alias('ls').description('the images, each with its newest version'), {
    path: '/v1/images',
    empty: 'No images.',
    columns: { image: (i) => ref(i as never), digest: (i) => i['digest'], age: (i) => age(i['registeredAt']) },
  });
  grantCommands(program);
};

const grantCommands = (program: Command): void => {
  const grant = program.command('grant').description("tenant administrators' permissions to add agents");
  listCommand(grant.command('list').alias('ls').description('the grants'), {
    path: '/v1/grants',
    empty: 'No grants.',
    columns: {
      grant: (g) => g['grantId'],
      tenant: (g) => g['tenant'],
      state: (g) => (g['state'] === 'active' && g['claims'].exp * 1000 < Date.now() ? 'expired' : g['state']),
      vms: (g) => g['claims'].vms.length,
      used: (g) => `${g['used']} of ${g['uses']}`,
      until: (g) => new Date(g['claims'].exp * 1000).toISOString(),
      actions: (g) => g['claims'].actions.join(','),
    },
  });
  examples(
    action(
      grant
        .command('register')
        .description('register a grant signed by a tenant administrator')
        .argument('[jws]', 'the signed grant')
        .option('-f, --file <file>', 'read it from a file, - for stdin'),
      async ({ client, format, args, options }) => {
        const jws = args[0] ?? (options['file'] ? readText(options['file']).trim() : undefined);
        if (!jws) throw new UsageError('give the grant, or --file');
        const answer = await client.request<Row>('POST', '/v1/grants', { jws });
        await print(format, answer, () => `registered ${answer['grantId'] ?? ''}`);
      },
    ),
    'grant register --file grant.jws',
  );
};
