import { ApiError, type BodyOf } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, examples, finish, vmOf, waits, type Run } from '../command.ts';
import { RefusedError } from '../errors.ts';
import { exits } from '../exit.ts';
import { print } from '../show/output.ts';
import { again, filterRule, networkAsked, networkOf } from './networks.ts';

/** Of a VM that there is. */
export const nicCommands = (vm: Command): void => {
  const nic = vm.command('nic').description('the networks that a VM is on, running or off');
  examples(
    action(
      waits(
        nic
          .command('attach')
          .argument('<vm>', 'id or name')
          .description('give a VM a NIC on a network')
          .requiredOption('--network <network>', '`back` or `back,address=10.7.0.9`')
          .option(
            '--allow <rule>',
            'what may come in, of a VM that is on no network yet: `tcp:80`, `icmp`; again for more',
            again(filterRule),
          )
          .option('--dry-run', 'only say whether it could be done'),
      ),
      attach,
    ),
    'vm nic attach web --network back --wait',
    'vm nic attach web --network back,address=10.7.0.9 --allow tcp:80',
  );
  examples(
    action(
      waits(
        nic
          .command('detach')
          .argument('<vm>', 'id or name')
          .description('take a VM from a network: its guest lets go of the NIC, and its address is anybody’s')
          .requiredOption('--network <network>', 'id or name')
          .option('--dry-run', 'only say whether it could be done'),
      ),
      detach,
    ),
    'vm nic detach web --network back --wait',
  );
};

type Allow = NonNullable<BodyOf<'post', '/v1/vms/{id}/nics'>['allow']>;

const attach = async (run: Run): Promise<number> => {
  const { network, allow } = run.options as { network: string; allow?: Allow };
  const { vmId, name } = await vmOf(run.client, run.args[0]!);
  const body = { ...(await networkAsked(run.client, network)), ...(allow ? { allow: [...allow] } : {}) };
  const answer = await run.client.post('/v1/vms/{id}/nics', { path: { id: vmId }, body, query: trial(run) });
  const { operation, address } = answer;
  if (operation && !run.options['dryRun']) return finish(run, { ...answer, operation }, `attaching ${name} as ${address}`);
  await print(
    run.format,
    answer,
    () => `${name} ${operation ? 'would be' : 'is'} on the network${operation ? '' : ' already'}, as ${address}`,
  );
  return exits.ok;
};

const isUnknown = (error: unknown): boolean => error instanceof ApiError && error.code === 'network.unknown';
/** What people see beside its networks, and may take for one. */
const ofType = (vmId: string, name: string, nic: string): RefusedError =>
  new RefusedError(
    `${nic} is a NIC that ${name} has from its type, and no network: it goes by a migration to a type without it\nnext: chrysalis options query --vm ${vmId}`,
  );

const detach = async (run: Run): Promise<number> => {
  const network = String(run.options['network']);
  const { vmId, name, topology } = await vmOf(run.client, run.args[0]!);
  const { networkId } = await networkOf(run.client, network).catch((error: unknown) => {
    throw isUnknown(error) && topology?.nics.some((n) => n.id === network && !n.segment) ? ofType(vmId, name, network) : error;
  });
  const answer = await run.client.delete('/v1/vms/{id}/nics/{network}', { path: { id: vmId, network: networkId }, query: trial(run) });
  const { operation } = answer;
  if (operation && !run.options['dryRun']) return finish(run, { ...answer, operation }, `detaching ${name}`);
  await print(run.format, answer, () => `${name} ${operation ? 'would leave' : 'is not on'} the network`);
  return exits.ok;
};

const trial = (run: Run): { dryRun?: 'true' } => (run.options['dryRun'] ? { dryRun: 'true' } : {});
