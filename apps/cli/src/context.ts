import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Client } from '@chrysalis/api-client';
import { UsageError } from './errors.ts';
import type { Format } from './show/output.ts';

export type GlobalOptions = { readonly server?: string; readonly token?: string; readonly output?: Format; readonly quiet?: boolean };

/** Where the runner says what runs here: in `CHRYSALIS_STATE_DIR` where that is set, as for the runner itself; else the nearest `.chrysalis/current.json` upwards from the working directory, then the repository's. */
const stateFile = (from = process.cwd()): string | undefined => {
  const told = process.env['CHRYSALIS_STATE_DIR'];
  if (told) return existsSync(path.join(told, 'current.json')) ? path.join(told, 'current.json') : undefined;
  for (let dir = from; ; dir = path.dirname(dir)) {
    const file = path.join(dir, '.chrysalis', 'current.json');
    if (existsSync(file)) return file;
    if (dir === path.dirname(dir)) break;
  }
  const own = path.resolve(import.meta.dirname, '../../../.chrysalis/current.json');
  return existsSync(own) ? own : undefined;
};

/** What the runner says of a control plane that it started. `grants`: the key that its guests trust, and the agent's package. */
export type Current = {
  readonly server?: string;
  readonly token?: string;
  readonly grants?: { readonly key: string; readonly kid: string; readonly package: string };
};
const current = (): Current => {
  const file = stateFile();
  return file ? (JSON.parse(readFileSync(file, 'utf8')) as Current) : {};
};
/** Where the server asked is the one that runs here. */
export const runningHere = (options: GlobalOptions): Current | undefined => {
  const here = current();
  return here.server !== undefined && connectionOf(options).server === here.server ? here : undefined;
};

/** Options first, then the environment, then the state file. */
export const connectionOf = (options: GlobalOptions): { server: string; token: string | undefined } => {
  const here = current();
  const server = options.server ?? process.env['CHRYSALIS_SERVER'] ?? here.server;
  if (!server)
    throw new UsageError('no control plane is known here\nnext: start one with `npm run up`, or give --server URL or CHRYSALIS_SERVER');
  if (!URL.canParse(server)) throw new UsageError(`--server ${server} is not a URL`);
  // A token of the state file is for its own server, and goes to no other.
  return { server, token: options.token ?? process.env['CHRYSALIS_TOKEN'] ?? (server === here.server ? here.token : undefined) };
};

export const connect = async (options: GlobalOptions): Promise<Client> => {
  const { createClient } = await import('@chrysalis/api-client');
  return createClient({ ...connectionOf(options), patienceMs: 3_000 });
};
