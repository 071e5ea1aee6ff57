import type { Command } from 'commander';
import { action, changing, examples, listCommand } from '../command.ts';
import { fields, print, table, type Row } from '../show/output.ts';
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
  const allocation = program.command('allocation').description('who holds what');
  examples(
    listCommand(allocation.command('list').alias('ls').description('the ledger of holds'), {
      path: '/v1/allocations',
      filters: { host: 'on this host', vm: 'for this VM', state: 'held (the default), released or all' },
      empty: 'Nothing is held.',
      columns: ledgerColumns,
    }),
    'allocation list --host h1',
    'allocation list --state all',
  );
};

/** The newest few, by their numbers: a host has dozens. */
const newest = (names: readonly string[]): string => {
  const sorted = [...names].sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  return `${sorted.slice(0, 3).join(', ')}${sorted.length > 3 ? ` and ${sorted.length - 3} more` : ''}`;
};
const placeOf = (facts: Row | undefined, between: string): string | undefined =>
  facts && ['site', 'room', 'rack'].map((p) => facts['place'][p]).join(between);

/** Below a second nothing that people do depends on it. */
const clockText = ({ skewMs, at }: Row): string =>
  Math.abs(skewMs) < 1000
    ? 'right'
    : `${Math.abs(skewMs) / 1000} s ${skewMs > 0 ? 'ahead of' : 'behind'} the control plane, measured at ${at}`;
const secondAgent = (r: Row): string => `refused at ${r['at']}, from ${r['address']}: ${r['message']}`;

const hostText = (h: Row): string => {
  const f = h['facts'];
  const used = (resource: string): number => (h['allocations'] as Row[]).reduce((sum, a) => sum + a[resource], 0);
  const inventory =
    f &&
    ['vcpu', 'memoryMiB', 'diskMiB'].map((resource) => {
      const { total, reserved, ratioPerMille } = f.inventory[resource];
      const capacity = Math.floor(((total - reserved) * ratioPerMille) / 1000);
      return { resource, total, reserved, capacity, used: used(resource), free: capacity - used(resource) };
    });
  return [
    fields({
      host: h['hostId'],
      state: h['state'],
      reason: h['reason'],
      agent: h['connected'] ? `connected, ${h['agent']?.agentVersion ?? ''}` : `away${h['agent']?.reason ? `: ${h['agent'].reason}` : ''}`,
      ...(h['agent']?.refused ? { 'second agent': secondAgent(h['agent'].refused) } : {}),
      clock: h['agent']?.clock && clockText(h['agent'].clock),
      address: f?.address,
      place: placeOf(f, ' / '),
      hypervisor: f && `${f.driver} ${f.hypervisorVersion}, ${f.accelerator}`,
      machines: f && newest(f.machineTypes),
      traits: f?.traits.join(', '),
      networks: f?.networks.join(', '),
      pools: f?.storagePools.join(', '),
      generation: h['generation'],
    }),
    ...(inventory
      ? [
          '',
          table(
            Object.fromEntries(['resource', 'total', 'reserved', 'capacity', 'used', 'free'].map((c) => [c, (i: Row) => i[c]])),
            inventory,
          ),
        ]
      : []),
    '',
    h['allocations'].length > 0 ? table(ledgerColumns, h['allocations']) : 'Nothing is held on it.',
  ].join('\n');
};
