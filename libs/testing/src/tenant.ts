import { createPrivateKey, createPublicKey } from 'node:crypto';
import { importJWK, type CryptoKey, type JWK } from 'jose';

const SEED = Buffer.alloc(32, 'a key that opens nothing but the guests of tests');
const pkcs8 = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), SEED]),
  format: 'der',
  type: 'pkcs8',
});

/** The public half, as guests keep it. */
const { x } = createPublicKey(pkcs8).export({ format: 'jwk' }) as { x: string };
const jwk = { kid: 'test', kty: 'OKP', crv: 'Ed25519', x } as const;

/** A tenant whose key is always the same, so that the guest image that trusts it is made once. */
export const testTenant = async (): Promise<{ readonly kid: string; readonly jwk: JWK & typeof jwk; readonly privateKey: CryptoKey }> => ({
  kid: jwk.kid,
  jwk,
  privateKey: (await importJWK(pkcs8.export({ format: 'jwk' }), 'EdDSA')) as CryptoKey,
});
