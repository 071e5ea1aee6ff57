import { createHash } from 'node:crypto';
import type { GrantClaims } from '@chrysalis/contracts';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import type { TrustedKey } from '../../infra/guest/image.ts';
import { cacheDir } from '../run/platform.ts';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { importJWK, type JWK } from 'jose';

export type TenantKey = { readonly kid: string; readonly publicJwk: TrustedKey; readonly privateKey: CryptoKey };

/** Where it is kept. */
export const tenantKeyFile = path.join(cacheDir, 'demo-tenant-key.json');

/** The demo tenant's administrator key; kept, so that the guest image that trusts it is made once. */
export const tenantKey = async (): Promise<TenantKey> => {
  const file = tenantKeyFile;
  if (!existsSync(file)) {
    const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    mkdirSync(cacheDir, { recursive: true });
    writeFileSync(file, JSON.stringify(await exportJWK(privateKey)), { mode: 0o600 });
  }
  const jwk = JSON.parse(readFileSync(file, 'utf8')) as JWK;
  const kid = `main-${createHash('sha256').update(jwk.x!).digest('hex').slice(0, 12)}`;
  return { kid, publicJwk: { kid, kty: 'OKP', crv: 'Ed25519', x: jwk.x! }, privateKey: (await importJWK(jwk, 'EdDSA')) as CryptoKey };
};

export const signGrant = (key: TenantKey, claims: Omit<GrantClaims, 'iat' | 'exp'>, minutes = 60): Promise<string> => {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...claims, iat: now, exp: now + minutes * 60 })
    .setProtectedHeader({ alg: 'EdDSA', kid: key.kid })
    .sign(key.privateKey);
};
