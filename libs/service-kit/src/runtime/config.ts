import { z } from 'zod';
import { contexts } from '@chrysalis/contracts';

const Jwk = z.record(z.string(), z.unknown());

/**
 * Where disks are kept by their digest, for hosts to fetch: a folder that every instance of provisioning and of the agent gateway sees.
 * `imports`: what is in that folder may be taken by its path.
 */
export const ImageDepot = z.object({
  depot: z.string().min(1),
  imports: z.string().min(1).optional(),
  /** Of a file. */
  maxFileMiB: z.int().positive().default(65_536),
  /** Of what a guest would see. */
  maxDiskMiB: z.int().positive().max(1_048_576).default(524_288),
});
export type ImageDepot = z.infer<typeof ImageDepot>;

export const ServiceConfig = z.object({
  databaseUrl: z.string().min(1),
  bus: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('embedded') }),
    z.object({ kind: z.literal('kafka'), brokers: z.array(z.string()).min(1) }),
  ]),
  /** 0 takes a free port. */
  port: z.int().min(0).max(65_535).default(0),
  listen: z.string().default('127.0.0.1'),
  tokenKey: Jwk.describe('public JWK (Ed25519) of the issuer of API tokens'),
  /** Where admin-api finds the owners of commands. */
  serviceUrls: z.record(z.enum(contexts), z.url()).optional(),
  /** Where host agents connect: `address:port`; only the agent gateway uses it. */
  agentListen: z.string().optional(),
  /** Images that are disks; see `ImageDepot`. Only provisioning and the agent gateway use it. */
  images: ImageDepot.optional(),
  instance: z.string().default('1'),
  /** Connections of this service to PostgreSQL. */
  poolSize: z.int().positive().default(8),
});
export type ServiceConfig = z.infer<typeof ServiceConfig>;

/** CHRYSALIS_CONFIG holds the configuration as JSON. */
export const configFromEnvironment = (): ServiceConfig => {
  const text = process.env['CHRYSALIS_CONFIG'];
  if (!text) throw new Error('CHRYSALIS_CONFIG is not set: it holds the service configuration as JSON');
  return ServiceConfig.parse(JSON.parse(text));
};
