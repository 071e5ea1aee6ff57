import type { Address, Client } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, assertNamed, dryRun, examples, finish, listCommand, vmOf, waits, type Run } from '../command.ts';
import { SeveralNamedError } from '../errors.ts';
import { exits } from '../exit.ts';
import { age, fields, print } from '../show/output.ts';
import { vmIdOf } from '../named.ts';
import { networkOf } from './networks.ts';

export const addressCommands = (program: Command): void => {
  const address = program
    .command('address')
    .description('addresses of networks that are kept, for a VM to have beside its own, and then another');
  examples(
    listCommand(address.command('list').alias('ls').description('the reserved addresses, newest first'), {
      path: '/v1/addresses',
      filters: {
        state: 'reserved, bound, deleted or all',
        network: 'of this network, by id or name',
        vm: 'that this VM has, by id or name',
      },
      named: { network: async (client, text) => (await networkOf(client, text)).networkId, vm: vmIdOf },
      empty: 'No addresses are reserved. Reserve one with: chrysalis address reserve --network NETWORK',
      columns: {
        id: (a) => a.addressId,
        name: (a) => a.name,
        state: (a) => a.state,
        address: (a) => a.address,
        network: (a) => a.networkId,
        vm: (a) => a.vmId,
        'under way': (a) => a.action?.action,
        age: (a) => age(a.createdAt),
      },
    }),
    'address list',
    'address list --state reserved -o json',
    'address list --network back --vm web',
  );
  examples(
    action(
      address.command('get').argument('<address>', 'id, name, or the address itself').description('a reserved address, and who has it'),
      async (run) => {
        const found = await addressOf(run.client, run.args[0]!);
        await print(run.format, found, () => addressText(found));
      },
    ),
    'address get web',
    'address get 10.7.0.50',
  );
  reserveCommand(address);
  bindCommands(address);
  releaseCommand(address);
};

const reserveCommand = (address: Command): void => {
  examples(
    action(
      address
        .command('reserve')
        .description('keep an address of a network')
        .requiredOption('--network <network>', 'id or name')
        .option('--address <address>', 'else the next that is free')
        .option('--name <name>', 'else by the address: `ip-10-7-0-50`')
        .option('--dry-run', 'only say whether it could be done'),
      async (run) => {
        const { network, address: wanted, name, dryRun: trial } = run.options;
        const { networkId } = await networkOf(run.client, network);
        const body = { network: networkId, ...(wanted ? { address: wanted } : {}), ...(name ? { name } : {}) };
        const answer = await run.client.post('/v1/addresses', { body, query: { dryRun: trial ? 'true' : undefined } });
        const said = trial ? 'would reserve' : 'reserved';
        await print(run.format, answer, () => `${said} ${answer.address}${trial ? '' : `: ${answer.addressId}`}`);
        return exits.ok;
      },
    ),
    'address reserve --network back',
    'address reserve --network back --address 10.7.0.50 --name web',
  );
};

type Acted = { readonly state: string; readonly operation?: string | undefined };
const changing = (address: Command, verb: string, what: string, ask: (run: Run, id: string) => Promise<Acted>): Command => {
  const command = address
    .command(verb)
    .argument('<address>', 'id, name, or the address itself')
    .description(what)
    .option('--dry-run', 'only say whether it could be done');
  return action(waits(command), async (run) => {
    const { addressId, name } = await addressOf(run.client, run.args[0]!);
    const answer = await ask(run, addressId);
    const { operation } = answer;
    if (operation && !run.options['dryRun']) return finish(run, { ...answer, operation }, `${verb} of ${name}`);
    await print(run.format, answer, () =>
      operation ? `would ${verb} ${name}` : `${name} ${answer.state === 'reserved' ? 'is had by no VM' : 'is so already: bound'}`,
    );
    return exits.ok;
  });
};
const trial = (run: Run) => ({ dryRun: run.options['dryRun'] ? ('true' as const) : undefined });

const bindCommands = (address: Command): void => {
  examples(
    changing(address, 'bind', 'have a VM on its network have the address beside its own, running or off', async (run, id) => {
      const { vmId } = await vmOf(run.client, run.options['vm'] as string);
      const body = { vm: vmId, ...(run.options['move'] ? { move: true } : {}) };
      return run.client.post('/v1/addresses/{id}/bind', { path: { id }, body, query: trial(run) });
    })
      .requiredOption('--vm <vm>', 'id or name')
      .option('--move', 'also where another VM has it: taken from that one, which ends what goes over it there'),
    'address bind web --vm db --wait',
    'address bind web --vm other --move --wait',
  );
  examples(
    changing(address, 'unbind', 'take the address from its VM; it stays reserved', (run, id) =>
      run.client.post('/v1/addresses/{id}/unbind', { path: { id }, body: {}, query: trial(run) }),
    ),
    'address unbind web --wait',
  );
};

const releaseCommand = (address: Command): void => {
  examples(
    action(
      address
        .command('release')
        .alias('rm')
        .argument('<address>', 'id, name, or the address itself')
        .description('give an address back that no VM has')
        .option('--dry-run', 'only say whether it could be done'),
      async (run) => {
        const { addressId, name } = await addressOf(run.client, run.args[0]!);
        const query = run.options['dryRun'] ? dryRun : {};
        const answer = await run.client.delete('/v1/addresses/{id}', { path: { id: addressId }, query });
        await print(run.format, answer, () => (run.options['dryRun'] ? `would release ${name} (${addressId})` : `${name} is released`));
        return exits.ok;
      },
    ),
    'address release web',
  );
};

/** A reserved address by its id, by its name, or by what it is. */
const addressOf = async (client: Client, text: string): Promise<Address> => {
  assertNamed('address', text);
  if (/^address-[0-9a-f]{8}-/.test(text)) return client.get('/v1/addresses/{id}', { path: { id: text } });
  const found = await client.all('/v1/addresses', /^[0-9.]+$/.test(text) ? { address: text } : { name: text });
  if (found.length > 1)
    throw new SeveralNamedError(
      text,
      'addresses',
      found.map((a) => `${a.addressId}  ${a.address}  of ${a.networkId}`),
    );
  return client.get('/v1/addresses/{id}', { path: { id: found[0]?.addressId ?? text } });
};

const addressText = (a: Address): string =>
  fields({
    'reserved address': a.addressId,
    name: a.name,
    state: a.state,
    address: a.address,
    network: a.networkId,
    vm: a.vmId,
    'seen in the guest': a.vmId && (a.seen ? 'yes' : `no: the guest has to carry it by itself: ip addr add ${a.address}/32 dev NIC`),
    'may be had by': a.unsettled && `${a.unsettled}, too: say who is to have it: chrysalis address bind ${a.name} --vm VM --move`,
    'under way': a.action && `${a.action.action} (${a.action.operation})`,
    operation: a.operation,
    cause: a.cause && `${a.cause.code}: ${a.cause.message}`,
    created: a.createdAt,
  });
