import type { Topology } from '@chrysalis/contracts';

/** Of a VM that has nothing beside its root disk: 1 CPU of 4, 512 MiB of 2048. */
export const bareTopology = (given: Partial<Topology> = {}): Topology => ({
  uuid: '11111111-1111-4111-8111-111111111111',
  machine: 'pc-q35-7.2',
  cpuModel: 'Westmere',
  vcpus: { boot: 1, max: 4, plugged: [] },
  memory: { bootMiB: 512, slots: 4, maxMiB: 2048, dimms: [] },
  rootPorts: 8,
  disks: [],
  nics: [],
  serialPorts: [],
  image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: '' },
  ...given,
});
