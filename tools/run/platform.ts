import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Context } from '@chrysalis/contracts';
import { ImageDepot, issueToken, newSigningKey, type Role, type ServiceConfig, type SigningKey } from '@chrysalis/service-kit';
import { ownUserNamespace } from '../../infra/network/user-namespace.ts';
import { startPostgres, type Postgres } from '../../infra/postgres/launcher.ts';

export const root = path.resolve(import.meta.dirname, '../..');
export const cacheDir = path.join(root, '.cache');
/** What runs here, and what it leaves: for a second one beside it another folder. */
export const stateDir = process.env['CHRYSALIS_STATE_DIR'] ?? path.join(root, '.chrysalis');

export const contextServices = [
  'provisioning',
  'resource-allocation',
  'migration-templates',
  'workflow',
  'agent-gateway',
] as const satisfies readonly Context[];
export const serviceNames = [...contextServices, 'projector', 'admin-api'] as const;
export type ServiceName = (typeof serviceNames)[number];

export type BusFacts = { readonly kind: 'embedded' | 'kafka'; readonly version?: string; readonly brokers?: string[] };
/** A control plane that runs: in one process over the embedded bus, or each service its own process over Kafka. */
export type Platform = {
  readonly mode: 'embedded' | 'distributed';
  readonly adminUrl: string;
  readonly agentUrl: string;
  readonly token: string;
  readonly tokenFor: (sub: string, roles: readonly Role[], tenant?: string) => Promise<string>;
  readonly database: { readonly kind: 'postgresql'; readonly version: string; readonly url: string };
  readonly bus: BusFacts;
  /** The processes that make it up, by name; PostgreSQL and Kafka included. */
  readonly pids: () => Readonly<Record<string, number>>;
  /** SIGKILL to a service's process; its supervisor starts it anew. Only in distributed mode. */
  readonly kill?: (service: ServiceName) => Promise<void>;
  stop(): Promise<void>;
};
export type PlatformOptions = {
  /** `address:port` on which host agents connect. */
  readonly agentListen: string;
  /** What goes with the run: Kafka's data. */
  readonly runDir: string;
  /** PostgreSQL's data, kept between runs; without it a database that goes with the run. */
  readonly dataDir?: string;
  /** Embedded: services that are processes of their own even so, to be killed. */
  readonly apart?: readonly (typeof contextServices)[number][];
  readonly environment?: Readonly<Record<string, string>>;
};

export const baseConfig = (
  postgres: Postgres,
  key: SigningKey,
  bus: ServiceConfig['bus'],
  { runDir, dataDir }: Pick<PlatformOptions, 'runDir' | 'dataDir'>,
): Omit<ServiceConfig, 'port'> => ({
  databaseUrl: postgres.localString,
  bus,
  listen: '127.0.0.1',
  tokenKey: key.publicJwk as Record<string, unknown>,
  // Kept as long as the database, where images are registered.
  images: ImageDepot.parse({
    depot: dataDir === undefined ? path.join(runDir, 'depot') : `${dataDir}-images`,
    imports: path.join(stateDir, 'imports'),
  }),
  instance: '1',
  poolSize: 4,
});

export const openDatabase = (o: PlatformOptions): Promise<Postgres> => startPostgres(o.dataDir ? { dataDir: o.dataDir } : {});

export const credentials = async (): Promise<{ key: SigningKey; token: string; tokenFor: Platform['tokenFor'] }> => {
  const key = await newSigningKey();
  const tokenFor: Platform['tokenFor'] = (sub, roles, tenant = 'main') => issueToken(key.privateJwk, { sub, roles: [...roles], tenant });
  return { key, tokenFor, token: await tokenFor('operator', ['admin', 'fleet']) };
};

/** Where the CLI finds the control plane that runs here. There is a token in it: see `removeCurrent`. */
export const writeCurrent = (
  platform: Platform,
  /** What a grant is signed with here: the key's file, and the migration agent's package. */
  grants?: { readonly key: string; readonly kid: string; readonly package: string },
): void => {
  const file = path.join(stateDir, 'current.json');
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(
    file,
    JSON.stringify({
      server: platform.adminUrl,
      token: platform.token,
      pid: process.pid,
      ...(grants ? { grants } : {}),
      ...(ownUserNamespace() ? { userNamespace: ownUserNamespace() } : {}),
    }),
    { mode: 0o600 },
  );
};

/** It goes with the control plane; what a later one wrote in its place stays. */
export const removeCurrent = (): void => {
  const file = path.join(stateDir, 'current.json');
  if (!existsSync(file)) return;
  const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
  if (pid === process.pid) rmSync(file);
};
