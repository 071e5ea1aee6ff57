import type { Allocation, BodyOf, Vm } from '@chrysalis/api-client';
import { InvalidArgumentError, Option, type Command, type OptionValues } from 'commander';
import { action, collect, dryRun, duration, examples, finish, listCommand, readText, vmOf, waits, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { RefusedError } from '../errors.ts';
import { exits } from '../exit.ts';
import { hostIdOf } from '../named.ts';
import { observedCell, observedText } from '../show/observed.ts';
import { labelsOfNew, labelsText } from '../show/labels.ts';
import { restartCell, restartOption, restartText, runs, standsStill } from '../show/restart.ts';
import { typeOf } from './catalogue.ts';
import { imagesThere } from './images.ts';
import { setVm } from './vm-set.ts';
import { consoleCommands } from './consoles.ts';
import { filterCommand, networkOptions, onNetworks, segmentsOf } from './networks.ts';
import { nicCommands } from './nics.ts';
import { standingFields } from '../show/standing.ts';
import { age, fields, print, ref, table, type Columns } from '../show/output.ts';
import { startFields } from '../show/pending.ts';
import { placementText } from '../show/placement.ts';

export const vmCommands = (program: Command): void => {
  const vm = program.command('vm').description('virtual machines');
  examples(
    listCommand(vm.command('list').alias('ls').description('the VMs, newest first'), {
      path: '/v1/vms',
      filters: {
        state: 'requested, placed, running, stopped, paused, moving, deleting, deleted, failed or all',
        host: 'on this host',
        label: 'with this label, KEY=VALUE; again for more, and all must hold',
      },
      repeated: ['label'],
      named: { host: hostIdOf },
      empty: 'No VMs. Make one with: chrysalis vm create NAME --type TYPE --image IMAGE',
      columns: {
        id: (v) => v['vmId'],
        name: (v) => v['name'],
        state: (v) => v['state'],
        observed: (v) => observedCell(v['observed']),
        type: (v) => ref(v['type']),
        host: (v) => v['hostId'],
        'under way': (v) => v['action']?.action,
        restart: restartCell,
        age: (v) => age(v['createdAt']),
      },
    }),
    'vm list',
    'vm list --state running -o json',
    'vm list --label team=web --label tier=2 --watch',
  );
  examples(
    action(
      vm.command('get').argument('<vm>', 'id or name').description('a VM: state, hardware, and what is known of its guest'),
      async ({ client, format, args }) => {
        const found = await vmOf(client, args[0]!);
        await print(format, found, () => vmText(found));
      },
    ),
    'vm get web',
    'vm get vm-0199c0de-0000-7000-8000-000000000001 -o yaml',
  );
  createCommand(vm);
  setVm(vm);
  filterCommand(vm);
  nicCommands(vm);
  deleteCommand(vm);
  consoleCommands(vm);
};

const createCommand = (vm: Command): void => {
  examples(
    action(
      waits(
        networkOptions(
          vm
            .command('create')
            .argument('<name>')
            .description('create a VM')
            .requiredOption('--type <type>', 'VM type, `small` (its newest version) or `small@1`')
            .requiredOption('--image <image>', 'image, `linux` or `linux@1`')
            .option('--host <host>', 'on this host; else the best one is chosen')
            .option('--pool <pool>', 'where its disks are made; else in the shared one')
            .addOption(restartOption())
            .option('--label <KEY=VALUE>', 'what to sort VMs by; again for more', collect)
            .option(
              '--ssh-key <file>',
              'a public key for its first boot, of a guest that reads a NoCloud seed (cloud-init); again for more',
              collect,
            )
            .option('--user-data <file>', 'a cloud-config for its first boot')
            .option('--network-config <file>', 'how it comes to its network at its first boot, version 2; by DHCP without')
            .option('--dry-run', 'only show where it could go, and why not elsewhere'),
        ),
      ),
      create,
    ),
    'vm create web --type small --image linux --wait',
    'vm create web --type small --image linux --restart on-failure',
    'vm create web --type small --image debian --ssh-key ~/.ssh/id_ed25519.pub --user-data cloud.yaml',
    'vm create web --type small --image linux --network back --allow tcp:80 --allow icmp',
    'vm create web --type small --image linux --dry-run',
  );
};

const deleteCommand = (vm: Command): void => {
  examples(
    action(
      waits(
        vm
          .command('delete')
          .alias('rm')
          .argument('<vm>', 'id or name')
          .description('delete a VM and its own disks; volumes that are attached to it stay')
          .addOption(new Option('--volumes <what>', 'what becomes of attached volumes').choices(['keep', 'delete']))
          .option('--dry-run', 'only show what would go'),
      ),
      remove,
    ),
    'vm delete web --wait',
  );
  for (const [verb, what] of verbs) lifecycleVerb(vm, verb, what);
};

const verbs = [
  ['start', 'start a VM that was stopped, or went off by itself'],
  ['stop', 'have the guest shut down; its disks and what it holds on its host stay'],
  ['reboot', 'have the guest restart'],
  ['reset', 'reset a VM, as its button does: what the guest had not written is lost'],
  ['pause', 'stop the CPUs of a VM; its memory stays'],
  ['resume', 'let a paused VM run on'],
] as const;

/** As the server judges it. */
const guestTime = (text: string): number => {
  const ms = duration(text);
  if (!Number.isInteger(ms) || ms < 1 || ms > 3_600_000) throw new InvalidArgumentError('from 1ms to 1h');
  return ms;
};

const lifecycleVerb = (vm: Command, verb: (typeof verbs)[number][0], what: string): void => {
  const command = vm
    .command(verb)
    .argument('<vm>', 'id or name')
    .description(what)
    .option('--dry-run', 'only say whether it could be done');
  if (verb === 'start') command.option('--force', 'also one that is meant to run, and is not seen to be off (yet)');
  if (verb === 'stop' || verb === 'reboot')
    command
      .option('--force', `where the guest does not, by its ${verb === 'stop' ? 'power' : 'reset button'}`)
      .option('--guest-timeout <time>', 'how long the guest is given, each way it is asked, e.g. 90s, 5m', guestTime, 60_000);
  examples(
    action(waits(command), async (run) => {
      const found = await vmOf(run.client, run.args[0]!);
      const { force, guestTimeout, dryRun: trial } = run.options;
      const body = { ...(force ? { force: true } : {}), ...(guestTimeout ? { timeoutMs: guestTimeout } : {}) };
      const answer = await run.client.post('/v1/vms/{id}/{action}', {
        path: { id: found.vmId, action: verb },
        body,
        query: { dryRun: trial ? 'true' : undefined },
      });
      const name = String(found['name']);
      const { operation } = answer;
      if (!operation && verb === 'start' && !runs(found)) throw new RefusedError(meantToRun(found));
      if (operation && !trial) return finish(run, { ...answer, operation }, `${verb} of ${name}`);
      await print(run.format, answer, () => (operation ? `would ${verb} ${name}` : `${name} is ${answer.status} already`));
      return exits.ok;
    }),
    `vm ${verb} web --wait`,
  );
};

const meantToRun = (vm: Vm): string => {
  const onward = standsStill(vm) ? `resume ${vm.vmId}` : `start ${vm.vmId} --force`;
  return `${vm.name} is meant to run, so there is nothing to start by that; its host sees it ${vm.observed?.state}\nnext: chrysalis vm ${onward}`;
};

const remove = async (run: Run): Promise<number> => {
  const { vmId, name } = await vmOf(run.client, run.args[0]!);
  const body = run.options['volumes'] ? { volumes: run.options['volumes'] as 'keep' | 'delete' } : {};
  if (!run.options['dryRun'])
    return finish(run, { ...(await run.client.delete('/v1/vms/{id}', { path: { id: vmId }, body })), vmId }, `deleting ${name}`);
  await run.client.delete('/v1/vms/{id}', { path: { id: vmId }, body, query: dryRun });
  const held = await run.client.all('/v1/allocations', { vm: vmId });
  const volumes = (await run.client.all('/v1/volumes', { vm: vmId })).map((v) => ({
    volumeId: v.volumeId,
    name: v.name,
    sizeMiB: v.sizeMiB,
  }));
  const fate = body.volumes === 'delete' ? 'would be deleted with it' : 'would stay, without a VM';
  const text = [
    `would delete ${name} (${vmId})`,
    held.length ? table(ledgerColumns, held) : 'It holds nothing.',
    ...volumes.map((v) => `volume ${v.name} (${v.volumeId}, ${v.sizeMiB} MiB) ${fate}`),
  ].join('\n');
  await print(run.format, { vm: vmId, held, volumes: { andDeleted: body.volumes === 'delete', items: volumes } }, () => text);
  return exits.ok;
};

const create = async (run: Run): Promise<number> => {
  const { type, image, host, pool, restart, label, dryRun: trial } = run.options;
  const seed = seedOf(run.options);
  const body = {
    name: run.args[0]!,
    type,
    image: await versioned(run, image),
    ...(host ? { host } : {}),
    ...(pool ? { pool: String(pool) } : {}),
    ...(restart ? { restart } : {}),
    ...(label ? { labels: labelsOfNew(label) } : {}),
    ...(seed ? { seed } : {}),
    ...(await onNetworks(run)),
  };
  const answer = await run.client.post('/v1/vms', { body, query: { dryRun: trial ? 'true' : undefined } }); // refuses what the real one would
  for (const w of answer.warnings ?? []) process.stderr.write(`warning ${w.place}: ${w.message}\n`);
  return trial ? whereItCouldGo(run, body) : finish(run, answer, `creating ${run.args[0]}`);
};

type NewVm = BodyOf<'post', '/v1/vms'>;
const whereItCouldGo = async (run: Run, { type, image, host, pool, networks }: NewVm): Promise<number> => {
  const { spec } = await typeOf(run.client, type);
  const { amountsOf, DEFAULT_POOL, firmwareOf } = await import('@chrysalis/contracts'); // not at start: only this asks for it
  const found = await imageOf(run, image);
  const amounts = amountsOf(spec, found);
  const asked = {
    amounts,
    cpuModel: spec.cpuModel,
    traits: spec.requiredTraits,
    networks: spec.nics.map((n) => n.network),
    ...(await segmentsOf(run.client, networks)),
    ...(found ? firmwareOf(found) : {}),
    pools: [pool ?? DEFAULT_POOL],
    room: [{ pool: pool ?? DEFAULT_POOL, sizeMiB: amounts.diskMiB }],
    ...(host ? { host } : {}),
  };
  const where = await run.client.post('/v1/placements', { body: asked });
  await print(run.format, where, () => placementText(where));
  return where.candidates.length > 0 ? exits.ok : exits.refused;
};

const imageOf = async (run: Run, text: string) => (await imagesThere(run.client)).find((i) => ref(i) === text);

/** A private key must not leave this machine: it is refused here, where the server would refuse it as well. */
export const publicKey = (file: string): string => {
  const key = readText(file).trim();
  if (!key.includes('PRIVATE KEY')) return key;
  throw new UsageError(`--ssh-key: ${file} is a private key; it was not sent\nnext: name the public one, mostly ${file}.pub`);
};

/** As the files are: what is wrong in them the server says. */
const seedOf = ({ sshKey, userData, networkConfig }: OptionValues): BodyOf<'post', '/v1/vms'>['seed'] => {
  if (sshKey === undefined && userData === undefined && networkConfig === undefined) return undefined;
  return {
    ...(sshKey ? { sshKeys: (sshKey as string[]).map(publicKey) } : {}),
    ...(userData ? { userData: readText(String(userData)) } : {}),
    ...(networkConfig ? { networkConfig: readText(String(networkConfig)) } : {}),
  };
};

/** The owner wants an image's version; people mostly mean the newest. */
const versioned = async (run: Run, image: string): Promise<string> =>
  image.includes('@') ? image : `${image}@${(await run.client.all('/v1/images')).find((i) => i['name'] === image)?.['version'] ?? 1}`;

/** What it is meant to do beside what it is seen to do, and what is done about it. */
const wantedFields = (vm: Vm) => ({
  ...stateFields(vm),
  restart: restartText(vm),
});
const stateFields = ({ desired, observed, action: doing, lastAction: last }: Vm) => ({
  desired,
  observed: observedText(observed),
  'under way': doing && `${doing.action} (${doing.operation})`,
  'last action': last && lastText(last),
});

const lastText = ({ action: name, outcome, how, operation, cause }: NonNullable<Vm['lastAction']>): string =>
  [
    [name, outcome, how, operation && `(${operation})`].filter(Boolean).join(' '),
    ...(cause ? [`${cause.code}: ${cause.message}`] : []),
  ].join('\n');

const vmText = (v: Vm): string => {
  const t = v['topology'];
  const guest = v['characterisation'];
  return [
    fields({
      vm: v['vmId'],
      name: v['name'],
      labels: labelsText(v['labels']),
      state: v['state'],
      ...wantedFields(v),
      type: ref(v['type']),
      image: ref(v['image']),
      host: v['hostId'],
      epoch: v['epoch'],
      move:
        v['move'] &&
        `${v['move'].moveId}: ${v['move'].fromHost} -> ${v['move'].toHost}, ${ref(v['move'].fromType)} -> ${ref(v['move'].toType)}`,
      'move state': v['move']?.state,
      'move cause': v['move']?.cause && `${v['move'].cause.code}: ${v['move'].cause.message}`,
      ...standingFields(v['move']),
      'move log': v['move'] && `chrysalis migration logs ${v['move'].moveId}`,
      vcpus: t && t.vcpus.boot + t.vcpus.plugged.length,
      memory: t && `${t.memory.bootMiB + t.memory.dimms.reduce((s, d) => s + d.sizeMiB, 0)} MiB`,
      disks: t?.disks.map((d) => `${d.id} ${d.sizeMiB} MiB`).join(', '),
      nics: t?.nics.map(nicText).join(', '),
      ...startFields(v),
      hardware: v['topologyHash'],
      cause: v['cause'] && `${v['cause'].code}: ${v['cause'].message}`,
      created: v['createdAt'],
    }),
    ...(guest ? ['', `Guest (by ${guest.source}, ${guest.at}):`, guestText(guest)] : []),
  ].join('\n');
};
const nicText = ({ id, mac, network, segment }: NonNullable<Vm['topology']>['nics'][number]): string =>
  segment ? `${[segment.address, ...(segment.further ?? [])].join(', ')} ${mac} on ${network}` : `${id} ${mac} on ${network}`;
const guestText = (g: NonNullable<Vm['characterisation']>): string => {
  const f = g['facts'];
  const about =
    f &&
    fields({
      os: `${f.os.id} ${f.os.version}, ${f.os.kernel}`,
      'boot id': f.bootId,
      uptime: `${f.uptimeSeconds} s`,
      vcpus: f.vcpus,
      memory: `${f.memoryMiB} MiB`,
    });
  const can =
    g['capabilities'].length > 0
      ? table({ capability: (c) => c['name'], state: (c) => c['state'], evidence: (c) => c['evidence'] }, g['capabilities'])
      : '';
  return [about, can].filter(Boolean).join('\n\n');
};

export const ledgerColumns: Columns<Allocation> = {
  host: (a) => a.hostId,
  consumer: (a) => `${a.consumer.kind}:${a.consumer.id}`,
  vcpu: (a) => a.vcpu,
  'memory MiB': (a) => a.memoryMiB,
  'disk MiB': (a) => a.diskMiB,
  state: (a) => a.state,
  since: (a) => age(a.since),
};
