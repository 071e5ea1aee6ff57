import { type Coded, faultText, GrantClaims } from '@chrysalis/contracts';
import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';

export type GrantFault = Coded<{
  readonly code: 'grant.malformed' | 'grant.key_unknown' | 'grant.foreign_tenant' | 'grant.signature_invalid' | 'grant.expired';
  readonly message: string;
}>;
export type VerifiedGrant =
  { readonly ok: true; readonly claims: GrantClaims; readonly kid: string } | { readonly ok: false; readonly fault: GrantFault };
/** Every tenant that trusts a key of this id, with its key. */
export type KeysOf = (kid: string) => Promise<readonly { readonly tenant: string; readonly publicKeyJwk: JWK }[]>;

const MAX_JWS = 16_384;
const CLOCK_SKEW_MS = 60_000;
const fault = (code: GrantFault['code'], message: string): VerifiedGrant => ({ ok: false, fault: { code, message } });

/** A compact JWS, EdDSA and nothing else, by a key that the tenant it names trusts. `at` is ISO 8601. */
export const verifyGrant = async (jws: string, keysOf: KeysOf, at: string): Promise<VerifiedGrant> => {
  const kid = keyIdOf(jws);
  if (kid === undefined) return fault('grant.malformed', 'not a compact JWS with alg EdDSA and a kid');
  const said = claimsOf(jws);
  if (!said.success) return fault('grant.malformed', faultText(said.error, 1000));
  const keys = await keysOf(kid);
  const key = keys.find((k) => k.tenant === said.data.iss);
  if (!key) {
    return keys.length > 0
      ? fault('grant.foreign_tenant', `the key ${kid} is not of tenant ${said.data.iss}`)
      : fault('grant.key_unknown', `no trusted key ${kid}`);
  }
  try {
    await compactVerify(jws, await importJWK(key.publicKeyJwk, 'EdDSA'), { algorithms: ['EdDSA'] });
  } catch {
    return fault('grant.signature_invalid', `the signature is not by ${kid}`);
  }
  return inTime(said.data, kid, Date.parse(at));
};

const inTime = (claims: GrantClaims, kid: string, now: number): VerifiedGrant => {
  if (claims.exp <= claims.iat) return fault('grant.malformed', 'it ends before it begins');
  if (claims.iat * 1000 > now + CLOCK_SKEW_MS) return fault('grant.malformed', 'it was made in the future');
  if (claims.exp * 1000 <= now) return fault('grant.expired', `it ended at ${new Date(claims.exp * 1000).toISOString()}`);
  return { ok: true, claims, kid };
};

const keyIdOf = (jws: string): string | undefined => {
  if (jws.length > MAX_JWS || jws.split('.').length !== 3) return undefined;
  try {
    const { alg, kid, crit } = decodeProtectedHeader(jws);
    return alg === 'EdDSA' && crit === undefined && typeof kid === 'string' && kid.length <= 127 ? kid : undefined;
  } catch {
    return undefined;
  }
};

/** Unverified yet: only to find the key. */
const claimsOf = (jws: string) => {
  let payload: unknown;
  try {
    payload = JSON.parse(Buffer.from(jws.split('.')[1]!, 'base64url').toString('utf8'));
  } catch {
    payload = undefined;
  }
  return GrantClaims.safeParse(payload);
};
