import { topologyHash, type RestartPolicy, type VmAction, type VmActionOptions } from '@chrysalis/contracts';
import { bareTopology } from '@chrysalis/testing/topology';
import { actOnVm, type Requested, type VmEvent } from '../index.ts';

/** What the types of a VM's events begin with. */
export const p = 'chrysalis.provisioning.vm.';
export const vmId = 'vm-1';
export const uuid = '0199c0de-0000-7000-8000-0000000000ff';
export const small = { name: 'small', version: 1 };
export const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
const spec: Requested['spec'] = {
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: 512, max: 2048 },
  disks: [{ id: 'data', sizeMiB: 128 }],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const topology = bareTopology({ uuid, image });
export const shaped = { topology, topologyHash: topologyHash(topology) };

export const asked = (workflowId: string, action: VmAction, options: VmActionOptions = {}) => ({
  workflowId,
  definition: actOnVm(action, options),
  params: {},
  subject: vmId,
});

/** A VM's events until it runs, on host `a` at epoch 1. */
export const runningVm = (bootedAt: string, restart?: RestartPolicy): VmEvent[] => [
  {
    type: `${p}requested.v1`,
    data: {
      ...{ vmId, name: 'web', tenant: 'main', uuid, type: small, spec, image, nics: [], request: asked('op-0', 'start') },
      ...(restart ? { restart } : {}),
    },
  },
  { type: `${p}placed.v1`, data: { vmId, hostId: 'a', epoch: 1 } },
  { type: `${p}booted.v1`, data: { vmId, hostId: 'a', epoch: 1, ...shaped, at: bootedAt } },
];
