import { setTimeout as sleep } from 'node:timers/promises';
import type { HostFacts, VmTypeSpec } from '@chrysalis/contracts';
import type { BodyOf, Client, Host } from '@chrysalis/api-client';
import type { TenantKey } from './grant.ts';

/** What the demo's VM is of, and what it becomes; on the two networks that every host of a run is on. */
export const starterTypes: Record<'small' | 'large', VmTypeSpec> = {
  small: {
    vcpus: { now: 1, max: 4 },
    memoryMiB: { now: 512, max: 2048 },
    disks: [{ id: 'data', sizeMiB: 128 }],
    nics: [
      { id: 'front', network: 'front' },
      { id: 'legacy', network: 'legacy' },
    ],
    cpuModel: 'Westmere',
    requiredTraits: ['storage.shared'],
  },
  large: {
    vcpus: { now: 2, max: 4 },
    memoryMiB: { now: 1024, max: 2048 },
    disks: [{ id: 'data', sizeMiB: 256 }],
    nics: [{ id: 'front', network: 'front' }],
    cpuModel: 'Westmere',
    requiredTraits: ['storage.shared'],
  },
};

type Api = Pick<Client, 'get' | 'post'>;
/** A host whose agent has told its facts. */
export type HostView = Host & { readonly facts: HostFacts };

/** Once every host of a run has enrolled. */
export const hostsUp = async (api: Api, hosts: number, timeoutMs = 30_000): Promise<HostView[]> => {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
    const { items } = await api.get('/v1/hosts');
    const up = items.filter((h): h is HostView => h.connected && h.facts !== undefined);
    if (up.length >= hosts && up.length === items.length) return up;
  }
  throw new Error(`waited ${timeoutMs / 1000} s for ${hosts} hosts to enrol`);
};

/** What a first VM needs: types, the image that is in the hosts' stores, and the key that grants are signed with. The same again is nothing new. */
export const publishStarter = async (
  api: Api,
  image: { readonly digest: string; readonly cmdline: string },
  tenant: TenantKey,
): Promise<void> => {
  for (const [name, spec] of Object.entries(starterTypes)) await api.post('/v1/vm-types', { body: { name, spec } });
  await api.post('/v1/images', { body: { image: { name: 'linux', version: 1, digest: image.digest, cmdline: image.cmdline } } });
  await api.post('/v1/tenant-keys', {
    body: { tenant: 'main', kid: tenant.kid, publicKeyJwk: tenant.publicJwk as BodyOf<'post', '/v1/tenant-keys'>['publicKeyJwk'] },
  });
};
