import { TaskOffer, ToHostAgent } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import pg from 'pg';
import type { Logger } from 'pino';
import { z } from 'zod';

/** What instances tell each other over LISTEN/NOTIFY. A hint that is lost costs time, never correctness: sessions look for work anyway. */
const Signal = z.discriminatedUnion('to', [
  /** A host has new work. */
  z.object({ to: z.literal('work'), hostId: z.string() }),
  /** The host has a connection of this generation: older ones are let go. */
  z.object({ to: z.literal('replaced'), hostId: z.string(), generation: z.int() }),
  /** A frame for a host, from whoever holds its connection. */
  z.object({ to: z.literal('frame'), hostId: z.string(), frame: ToHostAgent }),
  /** Something to bid for, for so many milliseconds more. */
  z.object({ to: z.literal('bidders'), offer: TaskOffer, leftMs: z.number() }),
]);
export type Signal = z.infer<typeof Signal>;
export type HostSignal = Exclude<Signal, { to: 'bidders' }>;

const CHANNEL = 'agent_gateway';
/** PostgreSQL takes at most 8000 bytes. */
const MAX_BYTES = 7_900;

/** In a transaction: heard when it commits. False: too large, not sent. */
export const signal = async (db: Queryable, message: Signal): Promise<boolean> => {
  const text = JSON.stringify(message);
  if (Buffer.byteLength(text) > MAX_BYTES) return false;
  await db.query({ name: 'agent_gateway_signal', text: `select pg_notify('${CHANNEL}', $1)`, values: [text] });
  return true;
};

/** Hears signals on a connection of its own, which is made again when it breaks; `again` is called then, as something may be missed. */
export const hear = async (
  connectionString: string,
  log: Logger,
  on: { readonly signal: (message: Signal) => void; readonly again: () => void },
): Promise<() => Promise<void>> => {
  let stopped = false;
  let client: pg.Client | undefined;
  const connect = async (): Promise<void> => {
    client = new pg.Client({ connectionString, application_name: 'chrysalis-agent-gateway-hears' });
    client.on('notification', ({ payload }) => {
      const read = Signal.safeParse(JSON.parse(payload ?? 'null'));
      if (read.success) on.signal(read.data);
      else log.warn({ payload }, 'a signal could not be read');
    });
    client.on('error', (err) => log.warn({ err }, 'the connection for signals was lost'));
    client.on('end', () => void reconnect());
    await client.connect();
    await client.query(`listen ${CHANNEL}`);
  };
  const reconnect = async (): Promise<void> => {
    if (stopped) return;
    await new Promise((done) => setTimeout(done, 200));
    if (stopped) return;
    await connect().then(on.again, () => client?.end().catch(() => undefined));
  };
  await connect();
  return async () => {
    stopped = true;
    await client?.end().catch(() => undefined);
  };
};
