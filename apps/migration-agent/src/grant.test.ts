import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey } from 'jose';
import { SKEW_SECONDS, assertAllowed, verifyGrant } from './grant.ts';

const NOW = 1_800_000_000;
const digest = `sha256:${'a'.repeat(64)}`;
let trustDir: string;
let trusted: CryptoKey;
let stranger: CryptoKey;

beforeAll(async () => {
  trustDir = await mkdtemp(join(tmpdir(), 'trust-'));
  const ours = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  trusted = ours.privateKey;
  stranger = (await generateKeyPair('EdDSA', { crv: 'Ed25519' })).privateKey;
  await writeFile(join(trustDir, 'admin.jwk'), JSON.stringify(await exportJWK(ours.publicKey)));
  await writeFile(join(trustDir, 'rsa.jwk'), JSON.stringify({ kty: 'RSA', n: 'x', e: 'AQAB' }));
});
afterAll(() => rm(trustDir, { recursive: true, force: true }));

type Over = { claims?: Record<string, unknown>; kid?: string; key?: CryptoKey; exp?: number };
const sign = ({ claims = {}, kid = 'admin', key = trusted, exp = NOW + 60 }: Over = {}): Promise<string> =>
  new SignJWT({ jti: 'g1', vms: ['vm-1'], packages: [digest], uses: 1, actions: ['add-agent', 'characterise'], ...claims })
    .setProtectedHeader({ alg: 'EdDSA', kid })
    .setIssuer('acme')
    .setIssuedAt(NOW - 60)
    .setExpirationTime(exp)
    .sign(key);
const verify = (jws: string, over: { vmId?: string; packageDigest?: string; nowSeconds?: number } = {}): ReturnType<typeof verifyGrant> =>
  verifyGrant({ jws, vmId: 'vm-1', packageDigest: digest, trustDir, nowSeconds: NOW, ...over });

test('a grant of a trusted key for this VM and package holds, and allows what it names', async () => {
  const grant = await verify(await sign());
  assertAllowed(grant, 'facts', NOW);
  assertAllowed(grant, 'shutdown', NOW + 1e6);
  expect(() => assertAllowed(grant, 'run-script', NOW)).toThrow(expect.objectContaining({ code: 'grant.action_not_named' }));
  expect(() => assertAllowed(grant, 'facts', NOW + 61 + SKEW_SECONDS)).toThrow(expect.objectContaining({ code: 'grant.expired' }));
});

test('a clock that is a little off is forgiven, a lot is not', async () => {
  await expect(verify(await sign({ exp: NOW - SKEW_SECONDS }))).resolves.toBeDefined();
  await expect(verify(await sign({ exp: NOW - SKEW_SECONDS - 1 }))).rejects.toMatchObject({ code: 'grant.expired' });
});

test.each<[string, Over, string]>([
  ['another key under the same name', { key: undefined as never, kid: 'admin' }, 'grant.signature_invalid'],
  ['an unknown key', { kid: 'nobody' }, 'grant.key_unknown'],
  ['a key of another kind', { kid: 'rsa' }, 'grant.key_unknown'],
  ['a key id that is a path', { kid: '../trust/admin' }, 'grant.malformed'],
  ['another VM', { claims: { vms: ['vm-2'] } }, 'grant.vm_not_named'],
  ['another package', { claims: { packages: [`sha256:${'b'.repeat(64)}`] } }, 'grant.package_not_named'],
  ['no right to add', { claims: { actions: ['characterise'] } }, 'grant.action_not_named'],
  ['claims that are no grant', { claims: { vms: 'vm-1' } }, 'grant.malformed'],
])('%s', async (_, over, code) => {
  const jws = await sign('key' in over ? { ...over, key: stranger } : over);
  await expect(verify(jws)).rejects.toMatchObject({ code });
});

test('changed claims, a signature left out, and things that are no JWS', async () => {
  const [header, , signature] = (await sign()).split('.');
  const forged = Buffer.from(JSON.stringify({ vms: ['vm-1'] })).toString('base64url');
  await expect(verify(`${header}.${forged}.${signature}`)).rejects.toMatchObject({ code: 'grant.signature_invalid' });
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'admin' })).toString('base64url');
  await expect(verify(`${none}.${forged}.`)).rejects.toMatchObject({ code: 'grant.signature_invalid' });
  for (const text of ['', 'x', '..', 'a.b.c', '{}']) await expect(verify(text)).rejects.toMatchObject({ code: 'grant.malformed' });
});
