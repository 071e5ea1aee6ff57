import type { Command } from 'commander';
import type { Client, VmType } from '@chrysalis/api-client';
import { action, changing, examples, listCommand, positive, readDocument } from '../command.ts';
import { UsageError } from '../errors.ts';
import { print, ref } from '../show/output.ts';
import {
  assertImage,
  besideText,
  deleteImageCommand,
  displayOf,
  displayOption,
  firmwareOf,
  firmwareOption,
  importCommand,
  listImagesCommand,
  registerAs,
} from './images.ts';

/** `small` or `small@2` as its name and version. */
export const nameAndVersion = (text: string): { readonly name: string; readonly version?: string } => {
  const [name = '', version] = text.split('@');
  return { name, ...(version === undefined ? {} : { version }) };
};

/** A type with all that one can say. */
const exampleSpec = `# now: what a VM starts with. max: the room made for plugging more while it runs
vcpus: { now: 2, max: 4 }
memoryMiB: { now: 1024, max: 2048 }
# ids are yours: a guest finds the disk by its id as serial number (/dev/disk/by-id/virtio-data)
disks:
  - { id: data, sizeMiB: 256 }
# networks are those of the hosts: chrysalis host get HOST
nics:
  - { id: front, network: front }
# a model that every host can give which it is to live on
cpuModel: Westmere
# what a host must have, e.g. storage.shared
requiredTraits: []
`;

export const catalogueCommands = (program: Command): void => {
  typeCommands(program);
  imageCommands(program);
};

const typeCommands = (program: Command): void => {
  const type = program.command('type').description('VM types: named, versioned shapes');
  listCommand(type.command('list').alias('ls').description('the types, each with its newest version'), {
    path: '/v1/vm-types',
    empty: 'No VM types. A spec to begin with: chrysalis type publish NAME --example; then chrysalis type publish NAME --file SPEC',
    columns: {
      type: (t) => ref(t),
      vcpus: ({ spec }) => `${spec.vcpus.now} (max ${spec.vcpus.max})`,
      'memory MiB': ({ spec }) => `${spec.memoryMiB.now} (max ${spec.memoryMiB.max})`,
      disks: ({ spec }) => spec.disks.map((d) => `${d.id}:${d.sizeMiB}`).join(','),
      nics: ({ spec }) => spec.nics.map((n) => `${n.id}:${n.network}`).join(','),
      cpu: ({ spec }) => spec.cpuModel,
    },
  });
  action(type.command('get').argument('<type>', '`small` or `small@1`').description('a type'), async ({ client, format, args }) => {
    const found = await typeOf(client, args[0]!);
    await print(format === 'table' ? 'yaml' : format, found, () => '');
  });
  examples(
    changing(
      type
        .command('publish')
        .argument('<name>')
        .description('publish a version; the same shape again is the same version')
        .option('-f, --file <file>', 'the spec as YAML or JSON, - for stdin')
        .option('--example', 'write a spec to begin with, and publish nothing'),
      async ({ client, format, args, options }) => {
        if (options['example']) return void process.stdout.write(exampleSpec);
        if (!options['file']) throw new UsageError('give the spec with --file FILE; --example writes one to begin with');
        const answer = await client.post('/v1/vm-types', {
          body: { name: args[0]!, spec: (await readDocument(options['file'])) as VmType['spec'] },
        });
        await print(format, answer, () => `published ${ref(answer)}`);
      },
    ),
    'type publish large --example > large.yaml',
    'type publish large --file large.yaml',
    'type get small -o json | jq .spec | chrysalis type publish small2 -f -',
  );
  deprecateCommand(type);
};

const deprecateCommand = (type: Command): void => {
  examples(
    changing(
      type
        .command('deprecate')
        .argument('<type>', '`small@1`')
        .description('takes no new VMs any more; a policy may move those there are')
        .option('--replacement <type>', 'the version that takes its place')
        .requiredOption('--reason <text>', 'why'),
      async ({ client, format, args, options }) => {
        const { reason, replacement } = options;
        const answer = await client.post('/v1/vm-types/{name}/{version}/deprecate', {
          path: { version: '', ...nameAndVersion(args[0]!) },
          body: { reason, ...(replacement ? { replacement } : {}) },
        });
        await print(format, answer, () => `${args[0]} is deprecated`);
      },
    ),
    'type deprecate small@1 --replacement small@2 --reason "its CPU model is not made any more"',
  );
};

const imageCommands = (program: Command): void => {
  const image = program.command('image').description('guest images');
  listImagesCommand(image);
  importCommand(image);
  deleteImageCommand(image);
  examples(
    changing(
      image
        .command('register')
        .argument('<image>', '`linux`, or `linux@2` to say the version')
        .description('register an image that is in the hosts’ image stores; the same content again is the same version')
        .requiredOption('--digest <digest>', 'of its content, as in the `manifest.json` of the store: sha256:…')
        .option('--cmdline <words>', 'what its kernel is started with', '')
        .option('--disk <format>', 'it is a disk that boots, `qcow2` or `raw`, and no kernel')
        .option('--size <MiB>', 'of the disk, as a guest sees it', positive)
        .addOption(firmwareOption())
        .addOption(displayOption()),
      async ({ client, format, args, options }) => {
        const { disk, size, digest, cmdline } = options;
        if (disk === undefined && options['firmware'] === 'uefi')
          throw new UsageError('--firmware is of a disk: a kernel boots without any');
        if ((disk === undefined) !== (size === undefined)) throw new UsageError('a disk has --disk and --size, a kernel neither');
        const kind = disk === undefined ? {} : { disk: { format: disk, sizeMiB: size, ...firmwareOf(options) } };
        await assertImage(args[0]!);
        const { answer, beside } = await registerAs(client, args[0]!, {
          digest: String(digest),
          cmdline: String(cmdline),
          ...kind,
          ...displayOf(options),
        });
        await print(format, answer, () => `registered ${ref(answer.image)}${besideText(answer.image, beside)}`);
      },
    ),
    'image register linux --digest sha256:… --cmdline "console=ttyS0 quiet"',
    'image register debian --digest sha256:… --disk qcow2 --size 1536',
  );
};

export const typeOf = (client: Client, text: string): Promise<VmType> => {
  const { name, version } = nameAndVersion(text);
  return version === undefined
    ? client.get('/v1/vm-types/{name}', { path: { name } })
    : client.get('/v1/vm-types/{name}/{version}', { path: { name, version } });
};
