import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GrantClaims, GuestError, guestCommands, type GuestCommandName } from '@chrysalis/contracts';
import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';

/** Guests' clocks may be off by this much; the gateway and the host check without it. */
export const SKEW_SECONDS = 120;
export type Grant = Readonly<{ claims: GrantClaims }>;

type Check = Readonly<{ jws: string; vmId: string; packageDigest: string; trustDir: string; nowSeconds: number }>;

/** Signature, key, VM, package and expiry, in this order. Throws a GuestError that says which does not hold. */
export const verifyGrant = async ({ jws, vmId, packageDigest, trustDir, nowSeconds }: Check): Promise<Grant> => {
  const key = await trustedKey(jws, trustDir);
  const payload = await compactVerify(jws, key, { algorithms: ['EdDSA'] }).then(
    (v) => v.payload,
    () => refuse('grant.signature_invalid', 'the signature does not hold'),
  );
  const parsed = GrantClaims.safeParse(parse(payload));
  if (!parsed.success) return refuse('grant.malformed', 'the claims are not those of a grant');
  const claims = parsed.data;
  if (!claims.vms.includes(vmId)) return refuse('grant.vm_not_named', `the grant does not name ${vmId}`);
  if (!claims.packages.includes(packageDigest)) return refuse('grant.package_not_named', `the grant does not name ${packageDigest}`);
  if (!claims.actions.includes('add-agent')) return refuse('grant.action_not_named', 'the grant does not allow add-agent');
  assertNotExpired(claims, nowSeconds);
  return { claims };
};

const assertNotExpired = (claims: GrantClaims, nowSeconds: number): void => {
  if (nowSeconds > claims.exp + SKEW_SECONDS)
    refuse('grant.expired', `the grant ended ${nowSeconds - claims.exp} s ago by this guest's clock`, {
      exp: claims.exp,
      guestClock: nowSeconds,
    });
};

/** Per command: a session may outlive its grant. */
export const assertAllowed = ({ claims }: Grant, name: GuestCommandName, nowSeconds: number): void => {
  const { action } = guestCommands[name];
  if (action === undefined) return;
  if (!claims.actions.includes(action))
    refuse('grant.action_not_named', `${name} needs ${action}; the grant allows ${claims.actions.join(', ')}`);
  assertNotExpired(claims, nowSeconds);
};

/** `kid` becomes a file name: nothing but a plain name passes. */
const trustedKey = async (jws: string, trustDir: string): Promise<Awaited<ReturnType<typeof importJWK>>> => {
  let kid: unknown;
  try {
    kid = decodeProtectedHeader(jws).kid;
  } catch {
    return refuse('grant.malformed', 'not a JWS');
  }
  if (typeof kid !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$/.test(kid))
    return refuse('grant.malformed', 'the header names no key');
  const text = await readFile(join(trustDir, `${kid}.jwk`), 'utf8').catch(() =>
    refuse('grant.key_unknown', `this guest does not trust the key ${kid}`),
  );
  const jwk = JSON.parse(text) as JWK;
  if (jwk.kty !== 'OKP' || jwk.crv !== 'Ed25519') return refuse('grant.key_unknown', `${kid} is not an Ed25519 key`);
  return importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x ?? '' }, 'EdDSA').catch(() =>
    refuse('grant.key_unknown', `${kid} cannot be read`),
  );
};

const parse = (payload: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder().decode(payload)) as unknown;
  } catch {
    return undefined;
  }
};

const refuse = (code: GuestError['code'], message: string, detail?: unknown): never => {
  throw new GuestError(code, message, detail);
};
