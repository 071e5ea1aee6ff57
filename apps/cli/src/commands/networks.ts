import type { BodyOf, Client, Network } from '@chrysalis/api-client';
import { InvalidArgumentError, type Command } from 'commander';
import { action, assertNamed, dryRun, examples, finish, listCommand, positive, vmOf, waits, type Run } from '../command.ts';
import { SeveralNamedError, UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { age, fields, print, table } from '../show/output.ts';

export const networkCommands = (program: Command): void => {
  const network = program.command('network').description('layer-2 segments that span hosts, for VMs to be on');
  examples(
    listCommand(network.command('list').alias('ls').description('the networks, newest first'), {
      path: '/v1/networks',
      filters: { state: 'active, deleted or all' },
      empty: 'No networks. Make one with: chrysalis network create NAME --subnet 10.7.0.0/24',
      columns: {
        id: (n) => n.networkId,
        name: (n) => n.name,
        state: (n) => n.state,
        subnet: (n) => n.subnet,
        mtu: (n) => n.mtu,
        vms: (n) => Object.keys(n.addresses).length,
        age: (n) => age(n.createdAt),
      },
    }),
    'network list',
    'network list -o json',
  );
  examples(
    action(
      network.command('get').argument('<network>', 'id or name').description('a network: its subnet, and who has which address'),
      async (run) => {
        const found = await networkOf(run.client, run.args[0]!);
        await print(run.format, found, () => networkText(found));
      },
    ),
    'network get back',
  );
  createCommand(network);
  deleteCommand(network);
};

const createCommand = (network: Command): void => {
  examples(
    action(
      network
        .command('create')
        .argument('<name>')
        .description('make a network')
        .requiredOption('--subnet <subnet>', 'of /16 to /29, e.g. 10.7.0.0/24; beside those of the tenant’s other networks')
        .option('--mtu <bytes>', 'of its frames; what hosts have between them has to carry 50 more (1450, unless told)', positive)
        .option('--dry-run', 'only say whether it could be made'),
      async (run) => {
        const { subnet, mtu, dryRun: trial } = run.options;
        const body = { name: run.args[0]!, subnet, ...(mtu ? { mtu } : {}) };
        const answer = await run.client.post('/v1/networks', { body, query: { dryRun: trial ? 'true' : undefined } });
        await print(run.format, answer, () => (trial ? `would make ${run.args[0]}` : `made ${run.args[0]}: ${answer.networkId}`));
        return exits.ok;
      },
    ),
    'network create back --subnet 10.7.0.0/24',
  );
};

const deleteCommand = (network: Command): void => {
  examples(
    action(
      network
        .command('delete')
        .alias('rm')
        .argument('<network>', 'id or name')
        .description('delete a network that no VM is on, and no address is reserved in')
        .option('--dry-run', 'only say whether it could be done'),
      async (run) => {
        const { networkId, name } = await networkOf(run.client, run.args[0]!);
        const query = run.options['dryRun'] ? dryRun : {};
        const answer = await run.client.delete('/v1/networks/{id}', { path: { id: networkId }, query });
        await print(run.format, answer, () => (run.options['dryRun'] ? `would delete ${name} (${networkId})` : `${name} is deleted`));
        return exits.ok;
      },
    ),
    'network delete back',
  );
};

/** A network by its id or by its name. */
export const networkOf = async (client: Client, text: string): Promise<Network> => {
  assertNamed('network', text);
  if (/^network-[0-9a-f]{8}-/.test(text)) return client.get('/v1/networks/{id}', { path: { id: text } });
  const found = await client.all('/v1/networks', { name: text });
  if (found.length > 1)
    throw new SeveralNamedError(
      text,
      'networks',
      found.map((n) => `${n.networkId}  ${n.subnet}`),
    );
  return client.get('/v1/networks/{id}', { path: { id: found[0]?.networkId ?? text } });
};

type OfVm = Pick<BodyOf<'post', '/v1/vms'>, 'networks' | 'allow'>;
/** Again for more, and not by a comma: what is behind one is said of that network. */
export const again = <T>(of: (text: string) => T) => (text: string, all: readonly T[] = []): readonly T[] => [...all, of(text)]; // prettier-ignore

/** Of a new VM. */
export const networkOptions = (command: Command): Command =>
  command
    .option('--network <network>', 'a NIC on it, `back` or `back,address=10.7.0.9`; again for more', again(String))
    .option(
      '--allow <rule>',
      'what may come in from those networks: `tcp:80`, `udp:53@10.7.0.0/28`, `icmp`; again for more',
      again(filterRule),
    );
export const onNetworks = async ({ client, options }: Run): Promise<OfVm> => {
  const { network, allow } = options as { network?: readonly string[]; allow?: NonNullable<OfVm['allow']> };
  if (allow && !network) throw new UsageError('--allow is of networks, and no --network is said\nnext: --network NETWORK');
  return {
    ...(network ? { networks: await Promise.all(network.map((text) => networkAsked(client, text))) } : {}),
    ...(allow ? { allow: [...allow] } : {}),
  };
};

/** What they ask of a host. */
export const segmentsOf = async (client: Client, networks: OfVm['networks'] = []): Promise<{ segmentMtu?: number }> => {
  const found = await Promise.all(networks.map(({ network: id }) => client.get('/v1/networks/{id}', { path: { id } })));
  return found.length > 0 ? { segmentMtu: Math.max(...found.map((n) => n.mtu)) } : {};
};

/** Of a VM that there is. */
export const filterCommand = (vm: Command): void => {
  examples(
    action(
      waits(
        vm
          .command('filter')
          .argument('<vm>', 'id or name')
          .description('change what may come in to a VM from its networks: what is said, and no more')
          .option('--allow <rule>', '`tcp:80`, `udp:53@10.7.0.0/28`, `icmp`; again for more', again(filterRule))
          .option('--none', 'nothing but answers to what it asked')
          .option('--dry-run', 'only say whether it could be done'),
      ),
      async (run) => {
        const { allow, none, dryRun: trial } = run.options as { allow?: NonNullable<OfVm['allow']>; none?: true; dryRun?: true };
        if (!allow === !none) throw new UsageError('say what may come in, by --allow, or that nothing may, by --none');
        const { vmId, name } = await vmOf(run.client, run.args[0]!);
        const body = { allow: [...(allow ?? [])] };
        const query = { dryRun: trial ? ('true' as const) : undefined };
        const answer = await run.client.post('/v1/vms/{id}/filter', { path: { id: vmId }, body, query });
        const { operation } = answer;
        if (operation && !trial) return finish(run, { ...answer, operation }, `filter of ${name}`);
        await print(run.format, answer, () => (operation ? `would filter ${name}` : `${name} is filtered so already`));
        return exits.ok;
      },
    ),
    'vm filter web --allow tcp:80 --allow icmp --wait',
    'vm filter web --none',
  );
};

export const networkAsked = async (client: Client, text: string): Promise<NonNullable<OfVm['networks']>[number]> => {
  const [name = '', ...more] = text.split(',');
  assertNamed('network', name);
  const address = more[0]?.startsWith('address=') ? more[0].slice('address='.length) : undefined;
  if (more.length > 1 || (more.length === 1 && address === undefined))
    throw new UsageError(`--network: ${text} is not NAME or NAME,address=ADDRESS\nnext: --network ${name}`);
  const { networkId } = await networkOf(client, name);
  return { network: networkId, ...(address === undefined ? {} : { address }) };
};

/** `tcp:80`, `tcp:8000-8099`, `udp`, `icmp`, each `from` a subnet: `tcp:22@10.7.0.0/28`. */
export function filterRule(text: string): NonNullable<OfVm['allow']>[number] {
  const m = /^(tcp|udp|icmp)(?::([0-9]{1,5})(?:-([0-9]{1,5}))?)?(?:@(.+))?$/.exec(text);
  if (!m || (m[1] === 'icmp' && m[2] !== undefined))
    throw new InvalidArgumentError('tcp, tcp:80, tcp:8000-8099, udp:53 or icmp, each with @SUBNET behind it, or without');
  const ports = m[2] === undefined ? {} : { ports: { first: Number(m[2]), last: Number(m[3] ?? m[2]) } };
  if (ports.ports && ports.ports.last < ports.ports.first) throw new InvalidArgumentError('the last port is before the first');
  return { protocol: m[1] as 'tcp' | 'udp' | 'icmp', ...ports, ...(m[4] === undefined ? {} : { from: m[4] }) };
}

const networkText = (n: Network): string =>
  [
    fields({
      network: n.networkId,
      name: n.name,
      state: n.state,
      subnet: n.subnet,
      mtu: n.mtu,
      'segment number': n.vni,
      created: n.createdAt,
    }),
    ...(Object.keys(n.addresses).length > 0
      ? ['', table({ address: ([address]) => address, vm: ([, vm]) => vm }, Object.entries(n.addresses))]
      : []),
    ...(Object.keys(n.reserved ?? {}).length > 0
      ? ['', table({ address: ([address]) => address, reserved: ([, id]) => id }, Object.entries(n.reserved ?? {}))]
      : []),
  ].join('\n');
