import { expect, test } from '@jest/globals';
import { allTasks, topologyHash, vmActions, type TaskContract } from '@chrysalis/contracts';
import { expectEveryStepFails } from '@chrysalis/testing';
import { bareTopology } from '@chrysalis/testing/topology';
import { actOnVm } from './vm-actions.ts';
import { setVmFilter } from './vm-filter.ts';
import { attachNic, detachNic } from './vm-nic.ts';
import { deleteVm, provisionVm } from './workflows.ts';

const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 512, max: 1024 },
  disks: [{ id: 'data', sizeMiB: 128 }],
  nics: [{ id: 'front', network: 'front' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const params = {
  vmId: 'vm-1',
  uuid: '0199c0de-0000-7000-8000-0000000000ff',
  tenant: 'main',
  spec,
  amounts: { vcpu: 1, memoryMiB: 512, diskMiB: 128 },
  image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' },
  nics: [{ id: 'front', mac: '52:54:00:00:10:01', network: 'front' }],
  networks: ['front'],
  pool: 'shared',
  room: [{ pool: 'shared', sizeMiB: 128 }],
};
const topology = bareTopology({ uuid: params.uuid, image: params.image });
/** An executor takes only what its contract says, and gives what it says: a wrong reference in a definition throws here. */
const kind = (contract: TaskContract, output: Record<string, unknown> = {}): [string, (input: unknown) => Record<string, unknown>] => [
  contract.kind,
  (input) => {
    contract.input.parse(input);
    return contract.output.parse(output) as Record<string, unknown>;
  },
];
const executors = Object.fromEntries([
  kind(allTasks.place, { hostId: 'h1', address: '192.0.2.1:1', generation: 2 }),
  kind(allTasks.release),
  kind(allTasks.recordPlacement, { epoch: 1 }),
  kind(allTasks.failProvisioning),
  kind(allTasks.bootVm, { topology, topologyHash: topologyHash(topology), bootedAt: '2026-01-01T00:00:00Z' }),
  kind(allTasks.destroyVm),
  kind(allTasks.recordBoot),
  kind(allTasks.recordDeleted),
  kind(allTasks.startVm, { topology, topologyHash: topologyHash(topology), at: '2026-01-01T00:00:00Z' }),
  kind(allTasks.stopVm, { at: '2026-01-01T00:00:00Z', how: 'acpi' }),
  ...[allTasks.rebootVm, allTasks.resetVm, allTasks.pauseVm, allTasks.resumeVm].map((c) => kind(c, { at: '2026-01-01T00:00:00Z' })),
  kind(allTasks.recordAction),
  kind(allTasks.setFilter, { topology, topologyHash: topologyHash(topology) }),
  kind(allTasks.recordFilter),
  kind(allTasks.attachNic, { topology, topologyHash: topologyHash(topology), seen: true }),
  kind(allTasks.detachNic, { topology, topologyHash: topologyHash(topology) }),
  kind(allTasks.recordNic),
]);

test.each([
  [true, false],
  [false, false],
  [false, true],
])('provisioning through every failure there is a name for (pinned: %s, from a disk: %s)', (pinned, disk) => {
  const report = expectEveryStepFails({
    definition: provisionVm({ pinned, disk, seed: disk, segments: disk }),
    params: {
      ...params,
      ...(pinned ? { host: 'h1' } : {}),
      ...(disk ? { seed: { digest: params.image.digest, bytes: 1 }, segmentMtu: 1450 } : {}),
    },
    executors,
  });
  expect(Object.keys(report.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone']));
});

test.each([true, false])('deletion through every failure there is a name for (on a host: %s)', (onHost) => {
  const report = expectEveryStepFails({
    definition: deleteVm({ onHost }),
    params: onHost ? { vmId: 'vm-1', hostId: 'h1', epoch: 1 } : { vmId: 'vm-1' },
    executors,
  });
  expect(report.scenarios).toBeGreaterThan(10);
});

test.each(vmActions.flatMap((action) => [{ action }, { action, force: true, timeoutMs: 5_000 }]))(
  'an action through every failure there is a name for: %j',
  ({ action, ...options }) => {
    const report = expectEveryStepFails({
      definition: actOnVm(action, options),
      params: { vmId: 'vm-1', hostId: 'h1', epoch: 1 },
      executors,
    });
    expect(report.scenarios).toBeGreaterThan(10);
    expect(Object.keys(report.finalStates)).toContain('succeeded');
  },
);

test('a filter is other, or as it was: every step of its change may fail', () => {
  const asked = { vmId: 'vm-1', hostId: 'h1', epoch: 3, allow: [{ protocol: 'icmp' }], before: [] };
  const report = expectEveryStepFails({ definition: setVmFilter, params: asked, executors });
  expect(Object.keys(report.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone']));
});

test('a NIC comes, or is taken out again; one that goes goes: every step of it may fail', () => {
  const on = { vmId: 'vm-1', hostId: 'h1', epoch: 3 };
  const networkId = 'network-0199c0de-0000-7000-8000-0000000000e1';
  const segment = { vni: 4096, subnet: '10.7.0.0/24', address: '10.7.0.2', mtu: 1450, allow: [] };
  const nic = { id: networkId, network: networkId, mac: '52:54:00:01:10:01', segment };
  const comes = expectEveryStepFails({ definition: attachNic, params: { ...on, nic }, executors });
  expect(Object.keys(comes.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone']));
  const goes = expectEveryStepFails({ definition: detachNic, params: { ...on, networkId }, executors });
  expect(Object.keys(goes.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone']));
});
