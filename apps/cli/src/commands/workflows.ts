import type { Command } from 'commander';
import { action, duration, examples, finish, listCommand, number, operationText, waits } from '../command.ts';
import { exits } from '../exit.ts';
import type { Operation } from '../client.ts';
import { age, fields, print, printOne, table, took, type Row } from '../show/output.ts';

export const workflowCommands = (program: Command): void => {
  const workflow = program.command('workflow').description('workflow instances and their graphs');
  listCommand(workflow.command('list').alias('ls').description('the workflows, newest first'), {
    path: '/v1/workflows',
    filters: { state: 'running, compensating, succeeded, undone, failed, stopped or cancelled', subject: 'about this VM, move or query', name: 'of this template' },
    empty: 'No workflows.',
    columns: {
      workflow: (w) => w['workflowId'],
      name: (w) => w['name'],
      state: (w) => w['state'],
      done: (w) => `${w['counts'].succeeded + w['counts'].skipped}/${w['counts'].total}`,
      about: (w) => w['subject'],
      age: (w) => age(w['startedAt']),
    },
  });
  examples(
    action(
      workflow.command('get').argument('<workflow>').description('the whole graph, with the state of each task').option('--as-of <moment>', 'as it was then (ISO 8601)'),
      async ({ client, format, args, options }) => {
        const query = options['asOf'] ? `?asOf=${encodeURIComponent(options['asOf'])}` : '';
        const found = await client.request<Row>('GET', `/v1/workflows/${encodeURIComponent(args[0]!)}${query}`);
        const { graphText } = await import('../show/graph.ts');
        await print(format, found, () => `${workflowHead(found)}\n\n${graphText(found)}`);
      },
    ),
    'workflow get op-0199c0de-…',
    'workflow get op-0199c0de-… --as-of 2026-11-23T09:00:05Z',
  );
  action(workflow.command('history').argument('<workflow>').description('every event of it, in order'), async ({ client, format, args }) => {
    const { items } = await client.request<{ items: Row[] }>('GET', `/v1/workflows/${encodeURIComponent(args[0]!)}/history`);
    await print(format, items, () => table(eventColumns, items));
  });
  cancelCommand(workflow, 'workflow', '/v1/workflows');
};

const cancelCommand = (parent: Command, noun: string, path: string): void => {
  const command = parent.command('cancel').argument(`<${noun}>`).description('finished tasks are undone where they still can be');
  action(waits(command.option('--reason <text>', 'why', `by chrysalis ${noun} cancel`)), async (run) => {
    const answer = await run.client.request<Row>('POST', `${path}/${encodeURIComponent(run.args[0]!)}/cancel`, { reason: run.options['reason'] });
    return finish(run, { ...answer, operation: run.args[0] }, 'asked to cancel');
  });
};

const workflowHead = (w: Row): string =>
  fields({
    workflow: w['workflowId'],
    name: w['name'] && `${w['name']}@${w['definitionVersion'] ?? ''}`,
    about: w['subject'],
    state: w['state'],
    took: took(w['startedAt'], w['endedAt']),
    cause: w['cause'] && `${w['cause'].code}: ${w['cause'].message}`,
    missing: w['missing']?.join(', '),
  });

export const operationCommands = (program: Command): void => {
  const operation = program.command('operation').description('what commands with an answer 202 do');
  listCommand(operation.command('list').alias('ls').description('the operations, newest first'), {
    path: '/v1/operations',
    filters: { state: 'running, succeeded, undone, failed or stopped', subject: 'about this', kind: 'workflow or migration' },
    empty: 'No operations.',
    columns: {
      operation: (o) => o['id'],
      what: (o) => o['name'],
      state: (o) => o['state'],
      progress: (o) => `${o['progress'].done}/${o['progress'].total} ${o['progress'].unit}`,
      about: (o) => o['subject'],
      age: (o) => age(o['startedAt']),
      cause: (o) => o['cause']?.code,
    },
  });
  action(operation.command('get').argument('<operation>').description('an operation'), async ({ client, format, args }) => {
    const found = await client.operation(args[0]!);
    await print(format, found, () => operationText(found));
  });
  examples(
    action(
      operation.command('wait').argument('<operation>').description('wait for the end; exit code 0 if it succeeded').option('--timeout <time>', 'wait at most so long', duration, 600_000),
      async ({ client, format, args, options }) => {
        const ended = await client.waitOperation(args[0]!, { timeoutMs: options['timeout'] });
        return ended_(format, ended);
      },
    ),
    'operation wait op-0199c0de-… --timeout 90s && echo done',
  );
  action(
    operation.command('watch').argument('<operation>').description('show what happens until the end').option('--timeout <time>', 'at most so long', duration, 600_000),
    async ({ client, format, args, options, quiet }) => {
      const { waitShown } = await import('../show/live.ts');
      return ended_(format, await waitShown(client, args[0]!, { timeoutMs: options['timeout'], quiet }));
    },
  );
  cancelCommand(operation, 'operation', '/v1/operations');
};

const ended_ = async (format: Parameters<typeof print>[0], operation: Operation): Promise<number> => {
  await print(format, operation, () => operationText(operation));
  return operation.state === 'succeeded' ? exits.ok : exits.failed;
};

const short = (type: string): string => type.replace(/^chrysalis\./, '').replace(/\.v\d+$/, '');
/** In the columns beside it, or of no use to a person. */
const told = new Set(['at', 'workflowId', 'tenant', 'deadlineAt', 'group', 'token', 'topologyHash', 'jws', 'startedAt', 'endedAt']);
const gist = (d: Row): string =>
  Object.entries(d ?? {})
    .filter(([k, v]) => ['string', 'number', 'boolean'].includes(typeof v) && !told.has(k))
    .map(([k, v]) => `${k}=${String(v)}`)
    .join(' ')
    .slice(0, 120);
const eventColumns = { position: (e: Row) => e['position'], at: (e: Row) => e['at'], event: (e: Row) => short(e['type']), actor: (e: Row) => e['actor'], data: (e: Row) => gist(e['data']) };
const eventLine = (e: Row): string => `${e['at']}  ${short(e['type'])}  ${e['stream']}  ${gist(e['data'])}`;

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
        .option('--count <n>', 'end after so many', number),
      async ({ client, format, options }) => {
        const query = new URLSearchParams();
        if (options['from']) query.set('from', options['from']);
        if (options['type']) query.set('type', String(options['type']).startsWith('chrysalis.') ? options['type'] : `chrysalis.${options['type']}`);
        if (options['stream']) query.set('stream', options['stream']);
        let left = options['count'] ?? Infinity;
        for await (const e of client.events(`/v1/events?${query}`)) {
          await printOne(format, e.data, () => eventLine(e.data as Row));
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
  const list = '/v1/dead-letters';
  action(dead.command('list').alias('ls').description('what is parked, with the reason'), async ({ client, format, quiet }) => {
    const { items, unavailable } = await client.request<{ items: Row[]; unavailable: string[] }>('GET', list);
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
        if (options['dryRun']) {
          const { items } = await client.request<{ items: Row[] }>('GET', list);
          const first = items.find((i) => i['context'] === service && i['eventId'] === id);
          const going = items.filter((i) => first && i['context'] === service && i['key'] === first['key']);
          await print(format, going, () => (going.length ? table(letterColumns, going) : 'Nothing of this is parked.'));
          return going.length ? exits.ok : exits.notFound;
        }
        const answer = await client.request<Row>('POST', `${list}/${encodeURIComponent(service)}/${encodeURIComponent(id)}/redrive`);
        await print(format, answer, () => `asked for ${answer['requested']} to go again; chrysalis dead-letter list shows what stays`);
        return exits.ok;
      },
    ),
    'dead-letter redrive projector 0199c0de-1000-7000-8000-000000000004',
  );
};
const letterColumns = {
  service: (d: Row) => d['context'],
  event: (d: Row) => d['eventId'],
  type: (d: Row) => short(d['event']?.type ?? ''),
  key: (d: Row) => d['key'],
  reason: (d: Row) => String(d['reason']).split('\n')[0]!.slice(0, 100),
  tries: (d: Row) => d['attempts'],
  age: (d: Row) => age(d['at']),
};
