import { randomUUID } from 'node:crypto';
import type { hostTasks, InputOf, OutputOf, TaskReport, VmTypeSpec } from '@chrysalis/contracts';

export const digest = (c: string): string => `sha256:${c.repeat(64)}`;
const image = { name: 'linux', version: 1, digest: digest('a'), cmdline: '' };
export const spec: VmTypeSpec = {
  vcpus: { now: 1, max: 4 },
  memoryMiB: { now: 512, max: 2048 },
  disks: [{ id: 'data', sizeMiB: 64 }],
  nics: [{ id: 'nic0', network: 'lan' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
/** To boot a VM of this spec, or of another. */
export const bootOf = (vmId: string, more: { spec?: VmTypeSpec; nics?: InputOf<typeof hostTasks.bootVm>['nics'] } = {}) => ({
  vmId,
  epoch: 1,
  uuid: randomUUID(),
  tenant: 'acme',
  spec,
  image,
  nics: [{ id: 'nic0', mac: '52:54:00:00:00:01', network: 'lan' }],
  pool: 'shared',
  waitForGuest: true,
  ...more,
});

/** The transfer of a VM at epoch 1 to a target that was prepared for epoch 2. */
export const transferOf = (vmId: string, moveId: string, target: OutputOf<typeof hostTasks.prepareTarget>) => ({
  ...{ vmId, epoch: 1, newEpoch: 2, moveId, method: 'pre-copy', downtimeLimitMs: 300, maxBandwidthMiBps: 1024 },
  ...target,
});

/** Of a task `t` of this workflow, with as much output. */
export const reportOf = (workflowId: string, output = ''): TaskReport => ({
  workflowId,
  task: 't',
  action: 'run',
  attempt: 1,
  token: 1,
  executor: 'host:h1',
  outcome: { ok: true, output: { output } },
  startedAt: '2026-11-23T09:00:00.000Z',
  endedAt: '2026-11-23T09:00:01.000Z',
});
