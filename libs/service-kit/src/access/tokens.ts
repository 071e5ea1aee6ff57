import { FLEET_TENANT } from '@chrysalis/contracts';
import { exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT, type JWK } from 'jose';
import { z } from 'zod';

/** `console`: may type on the consoles of VMs, where a shell of root's may be open. Of no rank, and so given beside another, or in `admin`. */
export const roles = ['viewer', 'operator', 'admin', 'host-agent', 'fleet', 'console'] as const;
export type Role = (typeof roles)[number];
export type Caller = {
  readonly sub: string;
  readonly roles: readonly Role[];
  readonly tenant: string;
  /** Of the token, in milliseconds. */ readonly expiresAt?: number;
};

export const ISSUER = 'chrysalis';
/** What is made with a token is its tenant's. Of the tenant `*`, which is the fleet itself, are only the fleet's administration and its hosts. */
const Claims = z
  .object({ sub: z.string().min(1).max(255), roles: z.array(z.enum(roles)), tenant: z.string().min(1).max(64) })
  .refine((c) => c.tenant !== FLEET_TENANT || c.roles.includes('fleet') || c.roles.every((r) => r === 'host-agent'));

export type SigningKey = { readonly privateJwk: JWK; readonly publicJwk: JWK };

export const newSigningKey = async (): Promise<SigningKey> => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  return { privateJwk: await exportJWK(privateKey), publicJwk: await exportJWK(publicKey) };
};

/** `expires` in jose's words, e.g. `12h`. */
export const issueToken = async (key: JWK, caller: Caller, expires = '12h'): Promise<string> =>
  new SignJWT({ roles: caller.roles, tenant: caller.tenant })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuer(ISSUER)
    .setSubject(caller.sub)
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(await importJWK(key, 'EdDSA'));

/** Who the token speaks for, or undefined when it is not ours, expired or malformed at this time. */
export const verifyToken = async (publicJwk: JWK, token: string, currentDate = new Date()): Promise<Caller | undefined> => {
  try {
    const { payload } = await jwtVerify(token, await importJWK(publicJwk, 'EdDSA'), {
      issuer: ISSUER,
      algorithms: ['EdDSA'],
      currentDate,
    });
    const claims = Claims.safeParse(payload);
    if (!claims.success) return undefined;
    return { ...claims.data, ...(payload.exp === undefined ? {} : { expiresAt: payload.exp * 1_000 }) };
  } catch {
    return undefined;
  }
};

const rank: Record<Role, number> = { viewer: 1, operator: 2, admin: 3, 'host-agent': 0, fleet: 0, console: 0 };
/** The fleet's administration: what its other roles allow, it may for every tenant, and for what is no tenant's. Alone it allows nothing. */
export const isOfFleet = (caller: Caller): boolean => caller.roles.includes('fleet');
/** admin may what operator may, operator what viewer may; a host agent only what is its own. */
export const allows = (caller: Caller, needed: Exclude<Role, 'fleet'>): boolean =>
  rank[needed] === 0
    ? caller.roles.includes(needed) || (needed === 'console' && caller.roles.includes('admin'))
    : caller.roles.some((r) => rank[r] >= rank[needed]);
