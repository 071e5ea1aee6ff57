import {
  amountsOf,
  capabilityNames,
  topologyHash,
  type Amounts,
  type Capability,
  type Characterisation,
  type GrantClaims,
  type HostFacts,
  type Topology,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import { capacityOf, minus, nothing } from '@chrysalis/placement';
import type { KnownGuest, StandingGrant } from '../guest-access.ts';
import type { KnownHost, KnownType, KnownVm } from '../known.ts';

// For the tests of this core and of its app: a small VM, two hosts, the types of the demo.

export const AT = '2026-11-23T09:00:00.000Z';
export const small: VmTypeSpec = {
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: 512, max: 4096 },
  disks: [{ id: 'data', sizeMiB: 256 }],
  nics: [
    { id: 'main', network: 'lan' },
    { id: 'extra', network: 'lan' },
  ],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
export const large: VmTypeSpec = {
  ...small,
  vcpus: { now: 2, max: 4 },
  memoryMiB: { now: 1024, max: 4096 },
  disks: [{ id: 'data', sizeMiB: 512 }],
  nics: [{ id: 'main', network: 'lan' }],
};
export const smallType: KnownType = { ref: { name: 'small', version: 1 }, spec: small };
export const largeType: KnownType = { ref: { name: 'large', version: 1 }, spec: large };

export const topology = (spec: VmTypeSpec = small): Topology => ({
  uuid: '0199c0de-0000-4000-8000-000000000001',
  machine: 'pc-q35-7.2',
  cpuModel: spec.cpuModel,
  vcpus: { boot: spec.vcpus.now, max: spec.vcpus.max, plugged: [] },
  memory: { bootMiB: spec.memoryMiB.now, slots: 4, maxMiB: spec.memoryMiB.max, dimms: [] },
  rootPorts: 8,
  disks: spec.disks.map((d, i) => ({
    id: d.id,
    port: i,
    serial: d.id,
    sizeMiB: d.sizeMiB,
    format: 'raw',
    pool: 'shared',
    volume: `vm.${d.id}`,
    readOnly: false,
  })),
  nics: spec.nics.map((n, i) => ({ id: n.id, port: 4 + i, mac: `52:54:00:00:00:0${i}`, network: n.network })),
  serialPorts: [],
  image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'console=ttyS0' },
});

export const vm = (change: Partial<KnownVm> = {}): KnownVm => {
  const t = change.topology ?? topology(change.spec ?? small);
  return {
    vmId: 'vm-1',
    tenant: 'acme',
    type: smallType.ref,
    spec: small,
    hostId: 'h1',
    epoch: 1,
    state: 'running',
    topology: t,
    topologyHash: topologyHash(t),
    version: 3,
    ...change,
  };
};

const inventory = (total: number) => ({ total, reserved: 0, ratioPerMille: 1000, min: 1, max: total, step: 1 });
export const facts = (hostId: string, change: Partial<HostFacts> = {}): HostFacts => ({
  hostId,
  address: `10.0.0.${hostId.at(-1)}`,
  place: { site: 'lab', room: 'r1', rack: 'k1' },
  driver: 'qemu',
  accelerator: 'tcg',
  hypervisorVersion: '7.2.22',
  cpuModels: ['Westmere', 'Nehalem'],
  machineTypes: ['pc-q35-7.2'],
  traits: [],
  storagePools: ['shared'],
  networks: ['lan'],
  inventory: { vcpu: inventory(8), memoryMiB: inventory(8192), diskMiB: inventory(100_000) },
  ...change,
});
type HostChange = Partial<KnownHost> & { free?: Amounts };
/** `free` is what is left on it: all else is held. */
export const host = (hostId: string, { free, ...change }: HostChange = {}): KnownHost => {
  const its = change.facts ?? facts(hostId);
  return { facts: its, state: 'enabled', generation: 1, held: free ? minus(capacityOf(its), free) : nothing, vms: new Map(), ...change };
};
/** The same with a VM on it, which holds what its type takes. */
export const home = (hostId: string, { vmId, spec }: Pick<KnownVm, 'vmId' | 'spec'>, change: HostChange = {}): KnownHost => {
  const amounts = amountsOf(spec);
  return host(hostId, { ...(change.free ? {} : { held: amounts }), vms: new Map([[vmId, amounts]]), ...change });
};

export const found = (vmId: string, states: Partial<Record<Capability['name'], Capability['state']>> = {}): Characterisation => ({
  vmId,
  source: 'agent',
  at: AT,
  agentVersion: '0.1.0',
  capabilities: capabilityNames.map((name) => ({ name, state: states[name] ?? 'present', evidence: 'looked' })),
});

/** A guest with an agent, and a grant over it that lasts. */
export const guest = (vmId: string, change: Partial<KnownGuest> = {}): KnownGuest => ({
  characterisation: found(vmId),
  rebooted: false,
  grants: [grant([vmId])],
  ...change,
});
export const grant = (vms: string[], claims: Partial<GrantClaims> = {}, change: Partial<StandingGrant> = {}): StandingGrant => ({
  grantId: 'g1',
  claims: {
    jti: 'g1',
    iss: 'acme',
    iat: 1,
    exp: 4_000_000_000,
    vms,
    packages: [],
    uses: 100,
    actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'],
    ...claims,
  },
  revoked: false,
  used: 0,
  ...change,
});
