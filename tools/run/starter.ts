import { setTimeout as sleep } from 'node:timers/promises';
import type { HostFacts, VmTypeSpec } from '@chrysalis/contracts';
import type { createClient } from '@chrysalis/cli-app';
import type { TenantKey } from '../demo/grant.ts';

/** What the demo's VM is of, and what it becomes; on the two networks that every host of a run is on. */
const types: Record<'small' | 'large', VmTypeSpec> = {
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

type Api = Pick<ReturnType<typeof createClient>, 'request'>;
export type HostView = { readonly hostId: string; readonly connected: boolean; readonly facts: HostFacts };

/** Once every host of a run has enrolled. */
export const hostsUp = async (api: Api, hosts: number, timeoutMs = 30_000): Promise<HostView[]> => {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(50)) {
    const { items } = await api.request<{ items: HostView[] }>('GET', '/v1/hosts');
    if (items.length >= hosts && items.every((h) => h.connected && h.facts)) return items;
  }
  throw new Error(`waited ${timeoutMs / 1000} s for ${hosts} hosts to enrol`);
};

/** What a first VM needs: types, the image that is in the hosts' stores, and the key that grants are signed with. The same again is nothing new. */
export const publishStarter = async (
  api: Api,
  image: { readonly digest: string; readonly cmdline: string },
  tenant: TenantKey,
): Promise<void> => {
  for (const [name, spec] of Object.entries(types)) await api.request('POST', '/v1/vm-types', { name, spec });
  await api.request('POST', '/v1/images', { image: { name: 'linux', version: 1, digest: image.digest, cmdline: image.cmdline } });
  await api.request('POST', '/v1/tenant-keys', { tenant: 'main', kid: tenant.kid, publicKeyJwk: tenant.publicJwk });
};
