import type { TaskReport, Topology } from '@chrysalis/contracts';

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
