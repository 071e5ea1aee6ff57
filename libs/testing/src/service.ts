import { v7 as uuidv7 } from 'uuid';

/** What a service is started with in a test: a database of its own, the embedded bus, a free port, tokens that this key signs. */
export const serviceConfig = (database: { readonly connectionString: string }, key: { readonly publicJwk: object }, poolSize = 8) => ({
  databaseUrl: database.connectionString,
  bus: { kind: 'embedded' as const },
  port: 0,
  listen: '127.0.0.1',
  tokenKey: key.publicJwk as Record<string, unknown>,
  instance: '1',
  poolSize,
});

/** An event as it comes over the bus; a test says it in the place of another service. Tenant `main` unless told. */
export const busEvent = (
  stream: string,
  type: string,
  data: unknown,
  more: { readonly id?: string; readonly tenant?: string; readonly correlationid?: string; readonly streamversion?: number } = {},
) => ({
  specversion: '1.0' as const,
  id: uuidv7(),
  source: '/chrysalis/test',
  type,
  subject: stream,
  time: new Date().toISOString(),
  partitionkey: stream,
  datacontenttype: 'application/json' as const,
  correlationid: stream,
  actor: 'test',
  tenant: 'main',
  ...more,
  data,
});
