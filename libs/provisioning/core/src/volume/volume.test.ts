import { describe, expect, test } from '@jest/globals';
import { allTasks, type TaskContract, type VolumeEvent } from '@chrysalis/contracts';
import { expectEveryStepFails } from '@chrysalis/testing';
import { given } from '@chrysalis/testing/decider';
import { VOLUME_CREATION_UNDONE } from './create.ts';
import { volumeDecider } from './decider.ts';
import { createVolume, deleteVolume } from './workflows.ts';

const v = 'chrysalis.provisioning.volume.';
const volumeId = 'volume-0199c0de-0000-7000-8000-0000000000d1';
const asked = (workflowId: string, definition = createVolume({ pinned: false })) => ({
  workflowId,
  definition,
  params: {},
  subject: volumeId,
});
const data = { volumeId, name: 'data', tenant: 'main', pool: 'shared', sizeMiB: 64 };
const requested: VolumeEvent = { type: `${v}requested.v1`, data: { ...data, request: asked('op-1') } };
const created: VolumeEvent = { type: `${v}created.v1`, data: { volumeId, pool: 'shared' } };
const removal = asked('op-2', deleteVolume({ file: true, pinned: false }));
const deleting: VolumeEvent = { type: `${v}deletion-requested.v1`, data: { volumeId, request: removal } };
const volume = (...events: VolumeEvent[]) => given(volumeDecider, events);
const cause = { code: 'placement.no_host', message: 'no host is known' };
const undone = { code: VOLUME_CREATION_UNDONE, message: 'x' };
const failure = (why: typeof cause, left: boolean): VolumeEvent => ({
  type: `${v}creation-failed.v1`,
  data: { volumeId, cause: why, left },
});

describe('a volume', () => {
  test('is asked for once, is recorded once, and is no host’s where others see its pool', () => {
    const { data: wanted } = requested as Extract<VolumeEvent, { type: `${typeof v}requested.v1` }>;
    volume().when({ type: 'request', volume: wanted }).then([requested]);
    volume(requested).when({ type: 'request', volume: wanted }).thenNothing();
    volume(requested)
      .when({ type: 'request', volume: { ...wanted, sizeMiB: 65 } })
      .thenRejected('volume.conflict');
    const record = { type: 'record-created', volumeId, hostId: 'a' } as const;
    expect(
      volume(requested)
        .when({ ...record, shared: true })
        .then([created]),
    ).toMatchObject({ status: 'available' });
    const here: VolumeEvent = { type: `${v}created.v1`, data: { volumeId, pool: 'shared', hostId: 'a' } };
    expect(
      volume(requested)
        .when({ ...record, shared: false })
        .then([here]),
    ).toMatchObject({ hostId: 'a' });
    volume(requested, created)
      .when({ ...record, shared: true })
      .thenNothing();
    volume()
      .when({ ...record, shared: true })
      .thenRejected('volume.unknown');
  });

  test('that could not be made says why, the undoing’s word first and the true cause after it, and can be deleted alone', () => {
    const fail = (why: typeof cause, left: boolean) => ({ type: 'fail-creation', volumeId, cause: why, left }) as const;
    volume(requested)
      .when(fail(undone, true))
      .then([failure(undone, true)]);
    volume(requested, created)
      .when(fail(undone, true))
      .then([failure(undone, true)]);
    const failed = volume(requested, failure(undone, true))
      .when(fail(cause, false))
      .then([failure(cause, false)]);
    expect(failed).toMatchObject({ status: 'failed', cause, left: false });
    volume(requested, failure(cause, false)).when(fail(undone, true)).thenNothing();
    volume(requested, created, deleting).when(fail(undone, true)).thenRejected('volume.not_ready', { state: 'deleting' });
    volume(requested, failure(cause, false)).when({ type: 'record-created', volumeId, hostId: 'a', shared: true }).thenRejected('volume.not_ready'); // prettier-ignore
    volume(requested, failure(cause, false)).when({ type: 'request-deletion', volumeId, request: removal }).then([deleting]);
  });

  test('is deleted once; a deletion that failed leaves it as it was', () => {
    volume(requested)
      .when({ type: 'request-deletion', volumeId, request: removal })
      .thenRejected('volume.not_ready', { state: 'creating' });
    volume(requested, created).when({ type: 'request-deletion', volumeId, request: removal }).then([deleting]);
    volume(requested, created, deleting)
      .when({ type: 'request-deletion', volumeId, request: asked('op-3') })
      .thenNothing();
    const failing = { type: 'fail-deletion', volumeId, workflowId: 'op-2', cause } as const;
    const back: VolumeEvent = { type: `${v}deletion-failed.v1`, data: { volumeId, workflowId: 'op-2', cause } };
    expect(volume(requested, created, deleting).when(failing).then([back])).toMatchObject({ status: 'available', cause });
    volume(requested, created, deleting)
      .when({ ...failing, workflowId: 'op-1' })
      .thenNothing();
    expect(volume(requested, failure(cause, false), deleting).when(failing).then([back])).toMatchObject({ status: 'failed' });
    const gone: VolumeEvent = { type: `${v}deleted.v1`, data: { volumeId } };
    volume(requested, created, deleting).when({ type: 'record-deleted', volumeId }).then([gone]);
    volume(requested, created, deleting, gone).when({ type: 'record-deleted', volumeId }).thenNothing();
    volume(requested, created).when({ type: 'record-deleted', volumeId }).thenRejected('volume.not_ready');
  });
});

/** An executor takes only what its contract says, and gives what it says. */
const kind = (contract: TaskContract, output: Record<string, unknown> = {}): [string, (input: unknown) => Record<string, unknown>] => [
  contract.kind,
  (input) => {
    contract.input.parse(input);
    return contract.output.parse(output) as Record<string, unknown>;
  },
];
const executors = Object.fromEntries([
  kind(allTasks.findHost, { hostId: 'h1' }),
  kind(allTasks.holdRoom, { hostId: 'h1', poolId: 'pool-0199c0de-0000-7000-8000-0000000000b1' }),
  kind(allTasks.releaseRoom),
  kind(allTasks.createVolume, { shared: true, bytes: 196_608 }),
  kind(allTasks.deleteVolume),
  kind(allTasks.recordVolumeCreated, { pool: 'shared' }),
  kind(allTasks.failVolumeCreation),
  kind(allTasks.recordVolumeDeleted),
]);
const params = { volumeId, volume: `${volumeId}.qcow2`, pool: 'shared', sizeMiB: 64 };

const from = { kind: 'volume', pool: 'shared', volume: `${volumeId}.qcow2` };
test.each([
  { pinned: true, given: { host: 'h1' } },
  { pinned: false, given: {} },
  { pinned: true, copy: true, also: true, given: { host: 'h1', from, also: { pool: 'shared' } } },
])('its creation through every failure there is a name for: %j', ({ given: more, ...o }) => {
  const report = expectEveryStepFails({ definition: createVolume(o), params: { ...params, ...more }, executors });
  expect(Object.keys(report.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone']));
});

test.each([
  { file: true, pinned: true },
  { file: true, pinned: false },
  { file: false, pinned: false },
])('its deletion through every failure there is a name for: %j', (o) => {
  const { sizeMiB: _, ...rest } = params;
  const report = expectEveryStepFails({ definition: deleteVolume(o), params: o.pinned ? { ...rest, host: 'h1' } : rest, executors });
  expect(report.scenarios).toBeGreaterThan(5);
});
