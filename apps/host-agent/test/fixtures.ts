import type { Topology } from '@chrysalis/contracts';

export const digest = (c: string): string => `sha256:${c.repeat(64)}`;
export const topology: Topology = {
  uuid: '11111111-1111-4111-8111-111111111111',
  machine: 'pc-q35-7.2',
  cpuModel: 'Westmere',
  vcpus: { boot: 1, max: 4, plugged: [] },
  memory: { bootMiB: 512, slots: 4, maxMiB: 2048, dimms: [] },
  rootPorts: 8,
  disks: [],
  nics: [],
  serialPorts: [],
  image: { name: 'linux', version: 1, digest: digest('a'), cmdline: '' },
};
