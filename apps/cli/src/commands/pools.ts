import { ApiError, type AnswerOf, type Client, type ItemOf } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, assertNamed, changing, examples, listCommand, positive } from '../command.ts';
import { SeveralNamedError, UsageError } from '../errors.ts';
import { age, fields, print, table } from '../show/output.ts';

type Pool = AnswerOf<'get', '/v1/pools/{id}'>;
type Listed = ItemOf<'/v1/pools'>;
type Decided = AnswerOf<'patch', '/v1/pools/{id}'>;

export const poolCommands = (program: Command): void => {
  const pool = program.command('pool').description('storage pools: what is in them, and what of it is promised');
  examples(
    listCommand(pool.command('list').alias('ls').description('the pools; one that several hosts share is one'), {
      path: '/v1/pools',
      filters: { name: 'of this name' },
      empty: 'No pools. A pool appears when the agent of a host that has it has enrolled.',
      columns: {
        pool: (p) => p.poolId,
        name: (p) => p.name,
        kind: (p) => p.kind,
        hosts: (p) => p.hosts.join(' ') || '-',
        'files MiB': (p) => p.usedMiB,
        'free MiB': (p) => p.freeMiB,
        allocation: (p) => p.settings.allocation,
        ratio: (p) => p.settings.ratioPerMille,
        'may be promised': (p) => p.capacityMiB,
        held: (p) => p.heldMiB,
        left: (p) => p.unpromisedMiB,
      },
    }),
    'pool list',
  );
  examples(
    action(pool.command('get').argument('<pool>', 'id or name').description('a pool, and who holds what in it'), async (run) => {
      const found = await poolOf(run.client, run.args[0]!);
      await print(run.format, found, () => poolText(found));
    }),
    'pool get shared',
  );
  setCommand(pool);
};

const setCommand = (pool: Command): void => {
  examples(
    changing(
      pool
        .command('set')
        .argument('<pool>', 'id or name')
        .description('how much of a pool may be promised, and how its files are made; what is held stays')
        .option('--allocation <how>', '`thin`: files take what was written to them; `full`: all that they may ever take')
        .option('--ratio <per mille>', 'promise so much of each 1000 MiB that there are; more than 1000 only of thin pools', positive)
        .option('--reserve <MiB>', 'that are not promised', (text) => (text === '0' ? 0 : positive(text)))
        .option('--reason <text>', 'why; kept in the pool’s history', 'by chrysalis pool set'),
      async ({ client, format, args, options }) => {
        const { allocation, ratio, reserve, reason } = options;
        if (allocation !== undefined && !['thin', 'full'].includes(String(allocation)))
          throw new UsageError('--allocation is thin or full');
        if (allocation === undefined && ratio === undefined && reserve === undefined)
          throw new UsageError('nothing to change: say --allocation, --ratio or --reserve');
        const { poolId } = await poolOf(client, args[0]!);
        const body = {
          ...(allocation === undefined ? {} : { allocation: allocation as 'thin' | 'full' }),
          ...(ratio === undefined ? {} : { ratioPerMille: ratio as number }),
          ...(reserve === undefined ? {} : { reservedMiB: reserve as number }),
          reason: String(reason),
        };
        const answer = await client.patch('/v1/pools/{id}', { path: { id: poolId }, body });
        await print(format, answer, () => `${answer.name}: ${answer.heldMiB} MiB are held, ${answer.capacityMiB} may be`);
      },
      (tried) => triedText(tried as Decided),
    ),
    'pool set shared --ratio 2000 --reason "guests write a third of what they have"',
    'pool set shared --allocation full',
  );
};

const triedText = ({ name, settings, capacityMiB, heldMiB }: Decided): string =>
  fields({
    pool: name,
    allocation: settings.allocation,
    ratio: `${settings.ratioPerMille} of 1000`,
    reserved: `${settings.reservedMiB} MiB`,
    'may be promised': `${capacityMiB} MiB`,
    held: `${heldMiB} MiB`,
  });

/** Those of a name: hosts may have pools that are called alike. */
export const poolsNamed = async (client: Client, name: string): Promise<[Listed, ...Listed[]]> => {
  const [first, ...more] = await client.all('/v1/pools', { name });
  if (first) return [first, ...more];
  const names = [...new Set((await client.all('/v1/pools', {})).map((p) => p.name))];
  const detail = `No pool \`${name}\`; ${names.length > 0 ? `there ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}` : 'there is none yet'}`;
  throw ApiError.of(404, { code: 'pool.unknown', title: detail, detail });
};

/** A pool by its id or by its name. */
const poolOf = async (client: Client, text: string): Promise<Pool> => {
  assertNamed('pool', text);
  if (/^pool-[0-9a-f]{8}-/.test(text)) return client.get('/v1/pools/{id}', { path: { id: text } });
  const found = await poolsNamed(client, text);
  if (found.length > 1)
    throw new SeveralNamedError(
      text,
      'pools',
      found.map((p) => `${p.poolId}  on ${p.hosts.join(', ') || 'no host'}`),
    );
  return client.get('/v1/pools/{id}', { path: { id: found[0].poolId } });
};

const poolText = (p: Pool): string => {
  const { holds = [] } = p;
  const text = fields({
    pool: p.poolId,
    name: p.name,
    kind: p.kind,
    hosts: p.hosts.join(', ') || 'none has it now',
    files: `${p.usedMiB} MiB`,
    free: `${p.freeMiB} MiB`,
    seen: p.seenAt,
    allocation: p.settings.allocation,
    ratio: `${p.settings.ratioPerMille} of 1000`,
    reserved: `${p.settings.reservedMiB} MiB`,
    'may be promised': `${p.capacityMiB} MiB`,
    held: `${p.heldMiB} MiB`,
    left: `${p.unpromisedMiB} MiB`,
    reason: p.reason,
  });
  const columns = {
    consumer: (h: (typeof holds)[number]) => `${h.consumer.kind}:${h.consumer.id}`,
    'size MiB': (h: (typeof holds)[number]) => h.sizeMiB,
    since: (h: (typeof holds)[number]) => age(h.since),
  };
  return `${text}\n\n${holds.length > 0 ? table(columns, holds) : 'Nothing that you may see is held in it.'}`;
};
