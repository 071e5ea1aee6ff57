import { describe, expect, test } from '@jest/globals';
import { allTasks, topologyHash, type TaskContract, type VolumeEvent } from '@chrysalis/contracts';
import { expectEveryStepFails } from '@chrysalis/testing';
import { given } from '@chrysalis/testing/decider';
import { bareTopology } from '@chrysalis/testing/topology';
import fc from 'fast-check';
import { volumeDecider, type VolumeCommand } from './decider.ts';
import type { Volume } from './volume.ts';
import { attachVolume, detachVolume } from './attach-workflows.ts';
import { createVolume, growVolume } from './workflows.ts';

const v = 'chrysalis.provisioning.volume.';
const volumeId = 'volume-0199c0de-0000-7000-8000-0000000000d1';
const asked = (workflowId: string) => ({ workflowId, definition: attachVolume, params: {}, subject: volumeId });
const data = { volumeId, name: 'data', tenant: 'main', pool: 'shared', sizeMiB: 64 };
const made = (hostId?: string): VolumeEvent[] => [
  { type: `${v}requested.v1`, data: { ...data, request: { ...asked('op-0'), definition: createVolume({ pinned: false }) } } },
  { type: `${v}created.v1`, data: { volumeId, pool: 'shared', ...(hostId ? { hostId } : {}) } },
];
const attach = (vmId = 'vm-1', op = 'op-1', vmHost = 'a'): VolumeCommand => ({
  type: 'request-attach',
  volumeId,
  vmId,
  vmHost,
  request: asked(op),
});
const attaching: VolumeEvent = { type: `${v}attach-requested.v1`, data: { volumeId, vmId: 'vm-1', request: asked('op-1') } };
const attached: VolumeEvent = { type: `${v}attached.v1`, data: { volumeId, vmId: 'vm-1', workflowId: 'op-1', seen: true } };
const had = [...made(), attaching, attached];
const detach = (op = 'op-2', force = false): VolumeCommand => ({ type: 'request-detach', volumeId, force, request: asked(op) });
const detaching: VolumeEvent = { type: `${v}detach-requested.v1`, data: { volumeId, vmId: 'vm-1', force: false, request: asked('op-2') } };
const detached: VolumeEvent = { type: `${v}detached.v1`, data: { volumeId, vmId: 'vm-1', why: 'asked' } };
const grow = (sizeMiB: number, op = 'op-3'): VolumeCommand => ({ type: 'request-grow', volumeId, sizeMiB, request: asked(op) });
const growing: VolumeEvent = { type: `${v}grow-requested.v1`, data: { volumeId, sizeMiB: 128, request: asked('op-3') } };
const cause = { code: 'host.guest_uses_volume', message: '/dev/vdb is mounted at /mnt' };
const volume = (...events: VolumeEvent[]) => given(volumeDecider, events);

describe('a volume has one VM', () => {
  test('that is asked for, recorded, and told again', () => {
    volume(...made())
      .when(attach())
      .then([attaching]);
    volume(...made(), attaching)
      .when(attach('vm-1', 'op-9'))
      .thenNothing();
    const record = { type: 'record-attached', volumeId, vmId: 'vm-1', workflowId: 'op-1', seen: true } as const;
    expect(
      volume(...made(), attaching)
        .when(record)
        .then([attached]),
    ).toMatchObject({ status: 'attached', vmId: 'vm-1' });
    volume(...had)
      .when(record)
      .thenNothing();
    volume(...had)
      .when(attach('vm-1', 'op-9'))
      .thenNothing();
  });

  test('and no second one, while it has it and while it is to have it; nor is it deleted then', () => {
    volume(...had)
      .when(attach('vm-2', 'op-9'))
      .thenRejected('volume.attached', { vmId: 'vm-1' });
    volume(...made(), attaching)
      .when(attach('vm-2', 'op-9'))
      .thenRejected('volume.in_action', { action: 'attach', operation: 'op-1' });
    const remove: VolumeCommand = { type: 'request-deletion', volumeId, request: asked('op-9') };
    volume(...had)
      .when(remove)
      .thenRejected('volume.attached');
    volume(...made(), attaching)
      .when(remove)
      .thenRejected('volume.in_action');
    volume(...made(), attaching)
      .when(grow(128))
      .thenRejected('volume.in_action');
    volume().when(attach()).thenRejected('volume.unknown');
    volume(made()[0]!).when(attach()).thenRejected('volume.not_ready', { state: 'creating' });
  });

  test('on its own host, where no other sees its pool', () => {
    volume(...made('a'))
      .when(attach('vm-1', 'op-1', 'b'))
      .thenRejected('volume.not_on_host', { hostId: 'a' });
    volume(...made('a'))
      .when(attach())
      .then([attaching]);
  });

  test('an attachment that failed leaves it available; one that is recorded after that is refused, and so undone', () => {
    const failed: VolumeEvent = {
      type: `${v}action-failed.v1`,
      data: { volumeId, action: 'attach', workflowId: 'op-1', vmId: 'vm-1', cause },
    };
    const fail = { type: 'fail-action', volumeId, workflowId: 'op-1', undone: true, cause } as const;
    expect(
      volume(...made(), attaching)
        .when(fail)
        .then([failed]),
    ).toMatchObject({ status: 'available', cause });
    volume(...had)
      .when(fail)
      .thenNothing();
    const left: VolumeEvent = { ...failed, data: { ...failed.data, left: true } } as VolumeEvent;
    const mayHave = volume(...made(), attaching)
      .when({ ...fail, undone: false })
      .then([left]);
    expect(mayHave).toMatchObject({ status: 'attached', vmId: 'vm-1' });
    const late = { type: 'record-attached', volumeId, vmId: 'vm-1', workflowId: 'op-1', seen: false } as const;
    volume(...made(), attaching, failed)
      .when(late)
      .thenRejected('volume.not_ready');
  });

  test('detached, it is anybody’s; refused, it is its VM’s as before; and a VM that is gone leaves it', () => {
    volume(...had)
      .when(detach())
      .then([detaching]);
    volume(...had, detaching)
      .when(detach('op-9'))
      .thenNothing();
    const record = { type: 'record-detached', volumeId, vmId: 'vm-1', workflowId: 'op-2' } as const;
    expect(
      volume(...had, detaching)
        .when(record)
        .then([detached]),
    ).not.toHaveProperty('vmId');
    volume(...had, detaching, detached)
      .when(record)
      .thenNothing();
    volume(...had, detaching, detached)
      .when(detach('op-9'))
      .thenNothing();
    volume(...had, detaching, detached)
      .when(attach('vm-2', 'op-9'))
      .then([{ type: `${v}attach-requested.v1`, data: { volumeId, vmId: 'vm-2', request: asked('op-9') } }]);
    const fail = { type: 'fail-action', volumeId, workflowId: 'op-2', undone: true, cause } as const;
    const failed: VolumeEvent = {
      type: `${v}action-failed.v1`,
      data: { volumeId, action: 'detach', workflowId: 'op-2', vmId: 'vm-1', cause },
    };
    expect(
      volume(...had, detaching)
        .when(fail)
        .then([failed]),
    ).toMatchObject({ status: 'attached', vmId: 'vm-1', cause });
    volume(...made(), attaching)
      .when(detach())
      .thenRejected('volume.in_action');
    const left: VolumeEvent = { type: `${v}detached.v1`, data: { volumeId, vmId: 'vm-1', why: 'vm-deleted' } };
    expect(
      volume(...had)
        .when({ type: 'leave-vm', volumeId, vmId: 'vm-1' })
        .then([left]),
    ).toMatchObject({ status: 'available' });
    volume(...had)
      .when({ type: 'leave-vm', volumeId, vmId: 'vm-2' })
      .thenNothing();
  });

  test('it grows with or without a VM, and never shrinks', () => {
    volume(...made())
      .when(grow(64))
      .thenNothing();
    volume(...made())
      .when(grow(63))
      .thenRejected('volume.shrink_refused', { sizeMiB: 64, requestedMiB: 63 });
    for (const before of [made(), had]) {
      volume(...before)
        .when(grow(128))
        .then([growing]);
      volume(...before, growing)
        .when(grow(128, 'op-9'))
        .thenNothing();
      volume(...before, growing)
        .when(grow(256, 'op-9'))
        .thenRejected('volume.in_action');
      const record = { type: 'record-grown', volumeId, sizeMiB: 128, workflowId: 'op-3', seen: false } as const;
      const grown: VolumeEvent = { type: `${v}grown.v1`, data: { volumeId, sizeMiB: 128, workflowId: 'op-3' } };
      expect(
        volume(...before, growing)
          .when(record)
          .then([grown]),
      ).toMatchObject({ sizeMiB: 128 });
      volume(...before, growing, grown)
        .when(record)
        .thenNothing();
    }
  });
});

test('a volume that another is made of is nobody’s until that has ended, whoever hears of the end', () => {
  const copy = (sizeMiB = 64, workflowId = 'op-9'): VolumeCommand => ({
    type: 'begin-copy',
    volumeId,
    to: 'volume-2',
    sizeMiB,
    workflowId,
  });
  const begun: VolumeEvent = { type: `${v}copy-begun.v1`, data: { volumeId, to: 'volume-2', workflowId: 'op-9' } };
  const over: VolumeEvent = { type: `${v}copy-ended.v1`, data: { volumeId, to: 'volume-2', workflowId: 'op-9' } };
  volume(...made())
    .when(copy())
    .then([begun]);
  volume(...made())
    .when(copy(63))
    .thenRejected('volume.source_larger', { sourceMiB: 64, requestedMiB: 63 });
  volume(...had)
    .when(copy())
    .thenRejected('volume.attached', { vmId: 'vm-1' });
  for (const other of [attach(), grow(128), copy(64, 'op-8'), { type: 'request-deletion' as const, volumeId, request: asked('op-7') }])
    volume(...made(), begun)
      .when(other)
      .thenRejected('volume.in_action', { action: 'copy', operation: 'op-9' });
  const end: VolumeCommand = { type: 'end-copy', volumeId, workflowId: 'op-9' };
  volume(...made(), begun)
    .when(end)
    .then([over]);
  volume(...made(), begun, over)
    .when(end)
    .thenNothing();
  volume(...made(), begun)
    .when({ ...end, workflowId: 'op-8' })
    .thenNothing();
  volume(...made(), begun, over)
    .when(attach())
    .then([attaching]);
});

test('whatever is asked and told, in whatever order: a volume is one VM’s at a time, and changes hands only by way of nobody', () => {
  const vms = fc.constantFrom('vm-1', 'vm-2');
  const ops = fc.constantFrom('op-1', 'op-2', 'op-3');
  const commands: fc.Arbitrary<VolumeCommand> = fc.oneof(
    fc.tuple(vms, ops).map(([vm, op]) => attach(vm, op)),
    fc.tuple(vms, ops).map(([vmId, workflowId]) => ({ type: 'record-attached' as const, volumeId, vmId, workflowId, seen: true })),
    ops.map((op) => detach(op)),
    fc.tuple(vms, ops).map(([vmId, workflowId]) => ({ type: 'record-detached' as const, volumeId, vmId, workflowId })),
    ops.map((op) => grow(128, op)),
    ops.map((workflowId) => ({ type: 'fail-action' as const, volumeId, workflowId, undone: workflowId === 'op-1', cause })),
    vms.map((vmId) => ({ type: 'leave-vm' as const, volumeId, vmId })),
    ops.map((op) => ({ type: 'request-deletion' as const, volumeId, request: asked(op) })),
  );
  const holder = (state: Volume): string | undefined => (state.status === 'unknown' ? undefined : state.vmId);
  fc.assert(
    fc.property(fc.array(commands, { maxLength: 40 }), (told) => {
      let state = made().reduce(volumeDecider.evolve, volumeDecider.initial);
      for (const command of told) {
        const decided = volumeDecider.decide(command, state);
        if (!decided.ok) continue;
        const before = holder(state);
        state = decided.events.reduce(volumeDecider.evolve, state);
        const after = holder(state);
        expect(before === undefined || after === undefined || before === after).toBe(true);
        expect(state.status === 'attached').toBe(after !== undefined);
      }
    }),
  );
});

const topology = bareTopology({ uuid: '0199c0de-0000-7000-8000-0000000000ff', image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: '' } }); // prettier-ignore
const shaped = { topology, topologyHash: topologyHash(topology) };
/** An executor takes only what its contract says, and gives what it says. */
const kind = (contract: TaskContract, output: Record<string, unknown> = {}): [string, (input: unknown) => Record<string, unknown>] => [
  contract.kind,
  (input) => {
    contract.input.parse(input);
    return contract.output.parse(output) as Record<string, unknown>;
  },
];
const executors = Object.fromEntries([
  kind(allTasks.holdRoom, { hostId: 'h1' }),
  kind(allTasks.releaseRoom),
  kind(allTasks.attachVolume, { ...shaped, seen: true }),
  kind(allTasks.detachVolume, shaped),
  kind(allTasks.growVolume),
  kind(allTasks.growAttachedVolume, shaped),
  kind(allTasks.recordVolumeAttached),
  kind(allTasks.recordVolumeDetached),
  kind(allTasks.recordVolumeGrown),
]);
const file = { pool: 'shared', volume: `${volumeId}.qcow2` };
const onVm = { volumeId, vmId: 'vm-1', hostId: 'h1', epoch: 1 };
const disk = { id: volumeId, serial: 'x', sizeMiB: 64, format: 'qcow2', readOnly: false, ...file };

test.each([
  [attachVolume, { ...onVm, disk }],
  [detachVolume, { ...onVm, force: false }],
  [growVolume({ attached: true, pinned: false }), { ...onVm, pool: 'shared', sizeMiB: 128, fromMiB: 64 }],
  [growVolume({ attached: false, pinned: false }), { volumeId, ...file, sizeMiB: 128, fromMiB: 64 }],
  [growVolume({ attached: false, pinned: true }), { volumeId, ...file, host: 'h1', sizeMiB: 128, fromMiB: 64 }],
])('$name through every failure there is a name for', (definition, params) => {
  const report = expectEveryStepFails({ definition, params, executors });
  expect(Object.keys(report.finalStates)).toContain('succeeded');
});
