import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { start } from './turn.ts';

export type Failover = {
  /** Workflows that had begun when the engine was killed and had not ended. */
  readonly open: number;
  /** From the kill to the first step after it, by the database's clock. */
  readonly firstStepMs: number;
  readonly lastFlowMs: number;
  readonly flows: number;
  readonly lost: number;
  readonly doubled: number;
};

const inFlight = 32;

/** The engine's process is killed (-9) in the midst of its work, and another is started. What became of each flow is asked of the log. */
export const failover = async (databaseUrl: string): Promise<Failover> => {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const ask = async (sql: string, values: unknown[] = []): Promise<number> =>
    Number((await client.query<{ n: number }>(sql, values)).rows[0]!.n);
  const first = await start('chrysalis', { databaseUrl });
  first.turn({ inFlight, ms: 60_000 }).catch(() => undefined); // it does not live to answer
  await sleep(1_500);
  const killedAt = await ask(clock);
  await first.kill();
  const goneAt = await ask(clock); // what it decided before is not another's
  const second = await start('chrysalis', { databaseUrl });
  try {
    const open = await ask(unended);
    for (const end = Date.now() + 30_000; Date.now() < end && (await ask(unended)) > 0;) await sleep(50);
    const after = [goneAt];
    return {
      open,
      firstStepMs: (await ask(`select extract(epoch from min(at)) * 1000 as n from ${succeeded} and ${later}`, after)) - killedAt,
      lastFlowMs: (await ask(`select extract(epoch from max(at)) * 1000 as n from ${ended} and ${later}`, after)) - killedAt,
      flows: await ask(`select count(*) as n from ${started}`),
      lost: await ask(unended),
      doubled: await ask(doubled),
    };
  } finally {
    await second.close();
    await client.end();
  }
};

const clock = `select extract(epoch from clock_timestamp()) * 1000 as n`;
const of = (type: string): string => `workflow.events where type = 'chrysalis.workflow.${type}.v1'`;
const started = of('instance.started');
const ended = of('instance.ended');
const succeeded = of('task.succeeded');
const later = `at > to_timestamp($1::float8 / 1000)`;
/** Also those that ended otherwise than they should. */
const unended = `
  select count(*) as n from (select stream_id from ${started} except select stream_id from ${ended} and data->>'state' = 'succeeded') left_over`;
/** Steps of which two results were recorded, or flows that have not each step once. */
const doubled = `
  select count(*) as n from (
    select 1 from ${succeeded} group by stream_id having count(*) <> count(distinct data->>'task')
  ) twice`;
