import type { AnswerOf } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, changing, examples, listCommand } from '../command.ts';
import { hostIdOf, vmIdOf } from '../named.ts';
import { fields, print, table } from '../show/output.ts';
import { auditCommand } from './audit.ts';
import { ledgerColumns } from './fleet.ts';

export const hostCommands = (program: Command): void => {
  const host = program.command('host').description('VM servers');
  examples(
    listCommand(host.command('list').alias('ls').description('the hosts'), {
      path: '/v1/hosts',
      filters: { state: 'enabled, cordoned, draining, retiring or lost' },
      empty: 'No hosts. A host appears when its agent has enrolled.',
      columns: {
        host: (h) => h['hostId'],
        state: (h) => h['state'],
        agent: (h) => (h['connected'] ? 'connected' : 'away'),
        driver: (h) => h['facts'] && `${h['facts'].driver}/${h['facts'].accelerator}`,
        place: (h) => placeOf(h['facts'], '/'),
        vcpu: (h) => h['facts']?.inventory.vcpu.total,
        'memory MiB': (h) => h['facts']?.inventory.memoryMiB.total,
        'disk MiB': (h) => h['facts']?.inventory.diskMiB.total,
        address: (h) => h['facts']?.address,
      },
    }),
    'host list',
    'host list --state cordoned',
  );
  examples(
    action(
      host.command('get').argument('<host>').description('a host: facts, inventory, and who holds what on it'),
      async ({ client, format, args }) => {
        const found = await client.get('/v1/hosts/{id}', { path: { id: args[0]! } });
        await print(format, found, () => hostText(found));
      },
    ),
    'host get h1',
  );
  stateCommands(host);
  releaseCommand(host);
  auditCommand(host);
  const allocation = program.command('allocation').description('who holds what');
  examples(
    listCommand(allocation.command('list').alias('ls').description('the ledger of holds'), {
      path: '/v1/allocations',
      filters: { host: 'on this host', vm: 'for this VM, by id or name', state: 'held (the default), released or all' },
      named: { host: hostIdOf, vm: vmIdOf },
      empty: 'Nothing is held.',
      columns: ledgerColumns,
    }),
    'allocation list --host h1',
    'allocation list --state all',
  );
};

const stateCommands = (host: Command): void => {
  const states = {
    enable: ['enabled', 'takes new VMs again'],
    cordon: ['cordoned', 'takes no new VMs; what runs there stays'],
    drain: ['draining', 'takes no new VMs, and what runs there is to leave'],
    retire: ['retiring', 'as drain, and for good: the policy drain-retiring-hosts moves its VMs away; again, each time it is said'],
  } as const;
  for (const [verb, [state, what]] of Object.entries(states))
    examples(
      changing(
        host
          .command(verb)
          .argument('<host>')
          .description(what)
          .option('--reason <text>', 'why; kept in the host’s history', `by chrysalis host ${verb}`),
        async ({ client, format, args, options }) => {
          const answer = await client.post('/v1/hosts/{id}/state', { path: { id: args[0]! }, body: { state, reason: options['reason'] } });
          await print(format, answer, () => `${args[0]} is ${state}`);
        },
      ),
      `host ${verb} h1 --reason "retiring in May"`,
    );
};

const releaseCommand = (host: Command): void => {
  examples(
    changing(
      host
        .command('release-agent')
        .argument('<host>')
        .description('for a host that was replaced: its old agent, which must be away, never has it again; the next one that comes does')
        .requiredOption('--reason <text>', 'why; kept in the host’s history'),
      async ({ client, format, args, options }) => {
        const answer = await client.post('/v1/hosts/{id}/release-agent', {
          path: { id: args[0]! },
          body: { reason: options['reason'] },
        });
        await print(format, answer, () => `${args[0]} is released: the next agent that connects for it has it`);
      },
    ),
    'host release-agent h1 --reason "its disk was replaced"',
  );
};

/** The newest few, by their numbers: a host has dozens. */
const newest = (names: readonly string[]): string => {
  const sorted = [...names].sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  return `${sorted.slice(0, 3).join(', ')}${sorted.length > 3 ? ` and ${sorted.length - 3} more` : ''}`;
};
type Host = AnswerOf<'get', '/v1/hosts/{id}'>;
type Facts = NonNullable<Host['facts']>;
type Agent = NonNullable<Host['agent']>;
const placeOf = (facts: Facts | undefined, between: string): string | undefined =>
  facts && [facts.place.site, facts.place.room, facts.place.rack].join(between);

/** Below a second nothing that people do depends on it. */
const clockText = ({ skewMs, at }: NonNullable<Agent['clock']>): string =>
  Math.abs(skewMs) < 1000
    ? 'right'
    : `${Math.abs(skewMs) / 1000} s ${skewMs > 0 ? 'ahead of' : 'behind'} the control plane, measured at ${at}`;

const agentFields = ({ connected, agent }: Host): Record<string, unknown> => {
  const { agentVersion = '', reason, refused, clock } = agent ?? {};
  return {
    agent: connected ? `connected, ${agentVersion}` : `away${reason ? `: ${reason}` : ''}`,
    ...(refused ? { 'second agent': `refused at ${refused.at}, from ${refused.address}: ${refused.message}` } : {}),
    clock: clock && clockText(clock),
  };
};

const factsFields = (f: Facts): Record<string, unknown> => ({
  address: f.address,
  place: placeOf(f, ' / '),
  hypervisor: `${f.driver} ${f.hypervisorVersion}, ${f.accelerator}`,
  machines: newest(f.machineTypes),
  traits: f.traits.join(', '),
  networks: f.networks.join(', '),
  pools: f.storagePools.join(', '),
});

const inventoryText = ({ inventory }: Facts, allocations: NonNullable<Host['allocations']>): string => {
  const rows = (['vcpu', 'memoryMiB', 'diskMiB'] as const).map((resource) => {
    const { total, reserved, ratioPerMille } = inventory[resource];
    const capacity = Math.floor(((total - reserved) * ratioPerMille) / 1000);
    const used = allocations.reduce((sum, a) => sum + a[resource], 0);
    return { resource, total, reserved, capacity, used, free: capacity - used };
  });
  type Line = (typeof rows)[number];
  const heads = ['resource', 'total', 'reserved', 'capacity', 'used', 'free'] as const;
  return table(Object.fromEntries(heads.map((head) => [head, (line: Line) => line[head]])), rows);
};

const hostText = (h: Host): string => {
  const { allocations = [] } = h;
  return [
    fields({
      host: h.hostId,
      state: h.state,
      reason: h.reason,
      ...agentFields(h),
      ...(h.facts ? factsFields(h.facts) : {}),
      generation: h.generation,
    }),
    ...(h.facts ? ['', inventoryText(h.facts, allocations)] : []),
    '',
    allocations.length > 0 ? table(ledgerColumns, allocations) : 'Nothing is held on it.',
  ].join('\n');
};
