import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Client, RelayAudit } from '@chrysalis/api-client';
import { action, collect, duration, examples } from '../command.ts';
import { UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { print, table, type Columns } from '../show/output.ts';

type Audits = { readonly items: readonly RelayAudit[]; readonly unavailable: readonly string[] };

export const relayCommands = (program: Command): void => {
  const relay = program.command('relay').description('what carries events from the logs to the bus');
  examples(
    action(
      relay
        .command('audit')
        .description('compare what was committed with what is on the bus, and find the holes')
        .option('--service <name>', 'only of this one; may be repeated', collect)
        .option('--fill', 'publish again what is missing; what consumers have seen they know')
        .option('--timeout <time>', 'wait at most so long', duration, 600_000),
      async ({ client, format, options, quiet }) => {
        const wanted = await servicesOf(client, options['service'] as string[] | undefined);
        const fill = options['fill'] === true;
        for (const service of wanted) await client.post('/v1/relay-audits/{context}', { path: { context: service }, body: { fill } });
        const { items, unavailable } = await ended(client, wanted, Date.now() + (options['timeout'] as number));
        await print(format, items, () => [table(columns, items), ...holes(items)].join('\n'));
        if (!quiet) advise(items, unavailable, fill);
        if (unavailable.length > 0) return exits.unavailable;
        if (items.some((i) => i['state'] === 'running')) return exits.timeout;
        return items.every((i) => i['state'] === 'ended' && i.result?.missing === i.result?.filled) ? exits.ok : exits.failed;
      },
    ),
    'relay audit',
    'relay audit --service workflow --fill',
  );
};

const servicesOf = async (client: Client, named: string[] | undefined): Promise<readonly string[]> => {
  const { items, unavailable } = await client.get('/v1/relay-audits');
  const all = [...items.map((i) => i.context), ...unavailable];
  const strange = named?.filter((name) => !all.includes(name)) ?? [];
  if (strange.length > 0) throw new UsageError(`no such service: ${strange.join(', ')}; there are ${all.sort().join(', ')}`);
  return named ?? all;
};

const ended = async (client: Client, wanted: readonly string[], deadline: number): Promise<Audits> => {
  for (;;) {
    const { items, unavailable } = await client.get('/v1/relay-audits');
    const ours = items.filter((i) => wanted.includes(i.context));
    if (Date.now() > deadline || ours.every((i) => i['state'] !== 'running'))
      return { items: ours, unavailable: unavailable.filter((name) => wanted.includes(name)) };
    await pause(250);
  }
};

const columns: Columns<RelayAudit> = {
  service: (i) => i.context,
  state: (i) => i.state,
  events: (i) => i.result?.judged,
  missing: (i) => i.result?.missing,
  filled: (i) => i.result?.filled,
  expired: (i) => i.result?.expired,
  reason: (i) => i.reason,
};
const holes = (items: readonly RelayAudit[]): string[] =>
  items.flatMap((i) => (i.result?.first ?? []).map((m) => `  ${i.context}: ${m.stream}@${m.version} ${m.type} not on ${m.topic}`));

const advise = (items: readonly RelayAudit[], unavailable: readonly string[], fill: boolean): void => {
  const missing = items.some((i) => (i.result?.missing ?? 0) > 0);
  if (unavailable.length > 0) process.stderr.write(`did not answer: ${unavailable.join(', ')}\n`);
  if (missing && !fill) process.stderr.write('next: chrysalis relay audit --fill\n');
  if (missing && fill)
    process.stderr.write(
      'next: make the read models anew (apps/projector/src/rebuild-command.ts): they skip what comes after its successors\n',
    );
};
