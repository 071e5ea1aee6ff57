import type { DeadLetter, FeedEntry } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, changing, dryRun, examples, positive } from '../command.ts';
import { exits } from '../exit.ts';
import { age, print, printOne, table, type Columns } from '../show/output.ts';

const short = (type: string): string => type.replace(/^chrysalis\./, '').replace(/\.v\d+$/, '');
/** In the columns beside it, or of no use to a person. */
const told = new Set(['at', 'workflowId', 'tenant', 'deadlineAt', 'group', 'token', 'topologyHash', 'jws', 'startedAt', 'endedAt']);
const gist = (d: unknown): string =>
  Object.entries(d ?? {})
    .filter(([k, v]) => ['string', 'number', 'boolean'].includes(typeof v) && !told.has(k))
    .map(([k, v]) => `${k}=${String(v)}`)
    .join(' ')
    .slice(0, 120);
export const eventColumns: Columns<FeedEntry> = {
  position: (e) => e.position,
  at: (e) => e.at,
  event: (e) => short(e.type),
  actor: (e) => e.actor,
  data: (e) => gist(e.data),
};
const eventLine = (e: FeedEntry): string => `${e['at']}  ${short(e['type'])}  ${e['stream']}  ${gist(e['data'])}`;

export const eventCommands = (program: Command): void => {
  const events = program.command('events').description('everything that happens');
  examples(
    action(
      events
        .command('watch')
        .description('each event as it comes, until Ctrl-C')
        .option('--from <position>', '`start` for all there is, or a position; else from now on')
        .option('--type <prefix>', 'only types that begin so, e.g. provisioning.vm')
        .option('--stream <stream>', 'only of this stream, e.g. host-h1')
        .option('--count <n>', 'end after so many', positive),
      async ({ client, format, options }) => {
        const query = new URLSearchParams();
        if (options['from']) query.set('from', options['from']);
        if (options['type'])
          query.set('type', String(options['type']).startsWith('chrysalis.') ? options['type'] : `chrysalis.${options['type']}`);
        if (options['stream']) query.set('stream', options['stream']);
        let left = options['count'] ?? Infinity;
        for await (const e of client.events(`/v1/events?${query}`)) {
          await printOne(format, e.data, () => eventLine(e.data as FeedEntry));
          if (--left <= 0) return exits.ok;
        }
        return exits.ok;
      },
    ),
    'events watch',
    'events watch --from start --type provisioning.vm -o json',
  );
  deadLetterCommands(program);
};

const deadLetterCommands = (program: Command): void => {
  const dead = program.command('dead-letter').description('events that a service could not handle');
  action(dead.command('list').alias('ls').description('what is parked, with the reason'), async ({ client, format, quiet }) => {
    const { items, unavailable } = await client.get('/v1/dead-letters');
    await print(format, items, () => (items.length === 0 ? 'Nothing is parked.' : table(letterColumns, items)));
    if (unavailable.length > 0 && !quiet) process.stderr.write(`did not answer: ${unavailable.join(', ')}\n`);
    return unavailable.length > 0 ? exits.unavailable : exits.ok;
  });
  examples(
    action(
      dead
        .command('redrive')
        .argument('<service>', 'whose it is, as `dead-letter list` shows')
        .argument('<event>', 'the id of the event')
        .description('put an event, and those parked behind it, back in order')
        .option('--dry-run', 'only show which would go'),
      async ({ client, format, args, options }) => {
        const [service, id] = args as [string, string];
        const path = { context: service, id };
        if (options['dryRun']) {
          await client.post('/v1/dead-letters/{context}/{id}/redrive', { path, query: dryRun }); // refuses what the real one would
          const { items } = await client.get('/v1/dead-letters');
          const first = items.find((i) => i['context'] === service && i['eventId'] === id);
          const going = items.filter((i) => first && i['context'] === service && i['key'] === first['key']);
          await print(format, going, () => table(letterColumns, going));
          return exits.ok;
        }
        const answer = await client.post('/v1/dead-letters/{context}/{id}/redrive', { path });
        await print(format, answer, () => `asked for ${answer['requested']} to go again; chrysalis dead-letter list shows what stays`);
        return exits.ok;
      },
    ),
    'dead-letter redrive projector 0199c0de-1000-7000-8000-000000000004',
  );
  examples(
    changing(
      dead
        .command('discard')
        .argument('<service>', 'whose it is, as `dead-letter list` shows')
        .argument('<event>', 'the id of the event')
        .description('give an event up for good, as if it had been handled; those parked behind it become free'),
      async ({ client, format, args }) => {
        const [service, id] = args as [string, string];
        const answer = await client.post('/v1/dead-letters/{context}/{id}/discard', { path: { context: service, id } });
        await print(format, answer, () => `gave up ${answer['discarded']}; chrysalis dead-letter list shows what stays`);
      },
    ),
    'dead-letter discard projector 0199c0de-1000-7000-8000-000000000004 --dry-run',
  );
};
const letterColumns: Columns<DeadLetter> = {
  service: (d) => d.context,
  event: (d) => d.eventId,
  type: (d) => short(d.event.type),
  key: (d) => d.key,
  reason: (d) => d.reason.split('\n')[0]!.slice(0, 100),
  tries: (d) => d.attempts,
  age: (d) => age(d.at),
};
