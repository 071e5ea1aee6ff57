import { TaskOffer, ToHostAgent } from '@chrysalis/contracts';
import { listen, type Queryable } from '@chrysalis/event-store';
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
  /** Who has a part of these segments has changed. */
  z.object({ to: z.literal('segments'), vnis: z.array(z.int()) }),
  z.object({ to: z.literal('bidders'), offer: TaskOffer, leftMs: z.number() }),
]);
export type Signal = z.infer<typeof Signal>;
export type HostSignal = Exclude<Signal, { to: 'bidders' | 'segments' }>;

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

/** Hears signals; `again` is called after a connection was lost, as something may be missed. */
export const hear = (
  connectionString: string,
  log: Logger,
  on: { readonly signal: (message: Signal) => void; readonly again: () => void },
): Promise<() => Promise<void>> =>
  listen({
    connection: { connectionString, application_name: 'chrysalis-agent-gateway-hears' },
    channel: CHANNEL,
    woken: (payload) => {
      if (payload === undefined) return on.again();
      on.signal(Signal.parse(JSON.parse(payload)));
    },
    onError: (err) => log.warn({ err }, 'a signal could not be read, or the connection for signals was lost'),
  });
