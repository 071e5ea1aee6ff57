import pg from 'pg';

/** Texts that are made anew each time are not worth keeping: above so many none is added. */
const MOST = 1_000;
/** What has all columns of a table has others when a newer release adds one beside us, and a prepared statement may not. */
const ALL_COLUMNS = /\b(select|returning)\s+(\w+\.)?\*/i;
const names = new Map<string, string>();
const nameOf = (text: string): string | undefined => {
  const known = names.get(text);
  if (known !== undefined || names.size >= MOST || ALL_COLUMNS.test(text)) return known;
  const name = `said_${names.size}`;
  names.set(text, name);
  return name;
};

type Done = (error: Error | undefined, result?: unknown) => void;
type Statement = { readonly name: string | undefined; readonly text: string; readonly values: unknown[] };

/** A statement with values, as text or as an object of ours; whatever else `query` takes goes as it is. */
const statementOf = (asked: unknown, values: unknown): Statement | undefined => {
  if (typeof asked === 'string')
    return Array.isArray(values) && values.length > 0 ? { name: nameOf(asked), text: asked, values } : undefined;
  const { name, text, values: own, ...more } = asked as Partial<Statement>;
  const all = values ?? own;
  return typeof text === 'string' && Array.isArray(all) && Object.keys(more).length === 0 ? { name, text, values: all } : undefined;
};

type Corkable = { readonly writable: boolean; cork(): void; uncork(): void };
const corked = new WeakSet<object>();
/** What is said in one go goes out in one go: each write wakes the server, and a wake costs both sides about what a small statement does. */
const gathering = (client: pg.Client): void => {
  const stream = (client as unknown as { connection?: { stream?: Corkable } }).connection?.stream;
  if (!stream?.writable || corked.has(stream)) return;
  corked.add(stream);
  stream.cork();
  process.nextTick(() => {
    corked.delete(stream);
    stream.uncork();
  });
};

const usual = pg.Client.prototype.query as (...args: unknown[]) => unknown;

/**
 * A statement with values is prepared by its text: PostgreSQL reads and plans it once a connection instead of each time, which was the half
 * of what a small one cost it. It is handed to the driver as the object that the driver would make of it, with a copy of ours that took
 * longer than all else it does.
 */
export class PreparingClient extends pg.Client {}

(PreparingClient.prototype as { query: unknown }).query = function (this: pg.Client, ...args: unknown[]): unknown {
  gathering(this);
  const [asked, values, done] = args;
  const statement = typeof values === 'function' ? undefined : statementOf(asked, values);
  if (!statement) return usual.apply(this, args);
  const send = (heard: Done): void => {
    const query = new pg.Query(statement.text, statement.values, heard as never);
    if (statement.name !== undefined) Object.assign(query, { name: statement.name });
    usual.call(this, query);
  };
  if (typeof done === 'function') return void send(done as Done);
  return new Promise((resolve, reject) => send((error, result) => (error ? reject(error) : resolve(result)))).catch((error: Error) => {
    Error.captureStackTrace(error); // back to who asked
    throw error;
  });
};
