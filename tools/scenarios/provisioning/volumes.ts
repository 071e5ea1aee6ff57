import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { volumeFile } from '@chrysalis/contracts';
import { settles, type Claim, type Seen } from '../claim.ts';
import { digestOf } from './guests.ts';
import type { Lab } from './lab.ts';
import { refusal } from './look.ts';

/** Its double is no other disk's size. */
const SIZE_MIB = 48;
const MIB = 1_048_576;

/** The volume's file, as `qemu-img` reads it; nothing where there is none. */
const fileOf = (lab: Lab, volumeId: string): object => {
  const file = path.join(lab.run.dir, 'shared-pool', volumeFile(volumeId));
  if (!existsSync(file)) return { file: 'none' };
  const info = JSON.parse(execFileSync('qemu-img', ['info', '--output=json', '-U', file], { encoding: 'utf8' })) as Record<string, unknown>;
  return { file: info['format'], mib: Number(info['virtual-size']) / MIB };
};
const filesOf = (lab: Lab, volumeId: string): number => lab.outside.pool().filter((name) => name.includes(volumeId)).length;
const create = async (lab: Lab, name: string) => {
  const body = { name, sizeMiB: SIZE_MIB, host: lab.host.hostId };
  const { volumeId, operation } = await lab.api.post('/v1/volumes', { body });
  return { volumeId: String(volumeId), end: await lab.ended(operation) };
};
const remove = async (lab: Lab, volumeId: string) =>
  lab.ended((await lab.api.delete('/v1/volumes/{id}', { path: { id: volumeId } })).operation);
const stateOf = async (lab: Lab, volumeId: string): Promise<string> =>
  (await lab.api.get('/v1/volumes/{id}', { path: { id: volumeId } })).state;

const madeAndDeleted: Claim['see'] = async (lab): Promise<Seen> => {
  const { volumeId, end } = await create(lab, 'papers');
  const there = { ended: 'succeeded', state: 'available', file: 'qcow2', mib: SIZE_MIB };
  const made = await settles(there, async () => ({ ended: end.state, state: await stateOf(lab, volumeId), ...fileOf(lab, volumeId) }));
  const gone = { ended: 'succeeded', state: 'deleted', files: 0 };
  const deletion = await remove(lab, volumeId);
  const deleted = await settles(gone, async () => ({
    ended: deletion.state,
    state: await stateOf(lab, volumeId),
    files: filesOf(lab, volumeId),
  }));
  return { expected: { made: there, deleted: gone }, observed: { made: made.observed, deleted: deleted.observed } };
};

type Verb = 'attach' | 'detach' | 'grow';
const act = async (lab: Lab, volumeId: string, verb: Verb, body: Record<string, unknown>): Promise<string> => {
  const { operation } = (await lab.api.post(`/v1/volumes/{id}/${verb}`, { path: { id: volumeId }, body: body as never })) as {
    operation?: string;
  };
  return operation ? (await lab.ended(operation)).state : 'so already';
};

const WRITTEN = 4 * MIB;
const pathOf = (lab: Lab, volumeId: string): string => path.join(lab.run.dir, 'shared-pool', volumeFile(volumeId));
/** Past the product, while nobody has it. */
const write = (lab: Lab, volumeId: string): void =>
  void execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P 0x5a 1M ${WRITTEN}`, pathOf(lab, volumeId)]);
/** Of the bytes that were written, as anybody reads them now. */
const checksum = (lab: Lab, volumeId: string): string => {
  const raw = path.join(lab.run.dir, `${volumeId}.raw`);
  execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', pathOf(lab, volumeId), raw]);
  const bytes = readFileSync(raw).subarray(MIB, MIB + WRITTEN);
  rmSync(raw);
  return digestOf(bytes);
};

/** From a VM to another: what the API says at each step (`seen`: its guest's agent showed it), and QEMU's monitor. */
const fromVmToVm: Claim['see'] = async (lab): Promise<Seen> => {
  const [first, second] = [await lab.running('linux'), await lab.running('tiny')];
  const { volumeId } = await create(lab, 'travels');
  write(lab, volumeId);
  const bytes = checksum(lab, volumeId);
  const at = async () => {
    const { state, vmId, seen, sizeMiB } = await lab.api.get('/v1/volumes/{id}', { path: { id: volumeId } });
    return {
      state,
      vm: vmId === first.vmId ? 'first' : vmId === second.vmId ? 'second' : 'none',
      ...(seen === undefined ? {} : { seen }),
      sizeMiB,
    };
  };
  const has = async (mib: number): Promise<boolean> => (await lab.outside.sizes(first)).includes(mib * MIB);
  const observed: Record<string, unknown> = {};
  const expected = {
    attached: { ended: 'succeeded', state: 'attached', vm: 'first', seen: true, sizeMiB: SIZE_MIB, onQemu: true },
    toAnother: { refused: 'volume.attached', status: 409 },
    grown: { ended: 'succeeded', state: 'attached', vm: 'first', seen: true, sizeMiB: 2 * SIZE_MIB, onQemu: true },
    detached: { ended: 'succeeded', state: 'available', vm: 'none', sizeMiB: 2 * SIZE_MIB, onQemu: false },
    attachedToAnother: { ended: 'succeeded', state: 'attached', vm: 'second', seen: false, sizeMiB: 2 * SIZE_MIB },
    detachedWhileOff: { ended: 'succeeded', state: 'available', vm: 'none', sizeMiB: 2 * SIZE_MIB },
    bytes,
    left: 0,
  };
  const step = async (name: keyof typeof expected, ended: string, look: () => Promise<object>): Promise<void> => {
    observed[name] = (await settles(expected[name] as object, async () => ({ ended, ...(await look()) }))).observed;
  };
  await step('attached', await act(lab, volumeId, 'attach', { vm: first.vmId }), async () => ({
    ...(await at()),
    onQemu: await has(SIZE_MIB),
  }));
  observed['toAnother'] = await refusal(act(lab, volumeId, 'attach', { vm: second.vmId }));
  const larger = await act(lab, volumeId, 'grow', { sizeMiB: 2 * SIZE_MIB });
  await step('grown', larger, async () => ({ ...(await at()), onQemu: await has(2 * SIZE_MIB) }));
  await step('detached', await act(lab, volumeId, 'detach', {}), async () => ({ ...(await at()), onQemu: await has(2 * SIZE_MIB) }));
  await step('attachedToAnother', await act(lab, volumeId, 'attach', { vm: second.vmId }), at);
  // A guest without a system never lets go of a device: its power is taken first.
  await lab.act(second.vmId, 'stop', { force: true, timeoutMs: 1_000 });
  await step('detachedWhileOff', await act(lab, volumeId, 'detach', {}), at);
  observed['bytes'] = checksum(lab, volumeId);
  await remove(lab, volumeId);
  observed['left'] = filesOf(lab, volumeId);
  return { expected, observed, vm: first };
};

export const volumeClaims: readonly Claim[] = [
  { name: 'a volume is made blank in its pool, and deleted with its file', see: madeAndDeleted },
  { name: 'a volume is attached to a running VM, grown, detached, and attached to another, with its bytes', see: fromVmToVm },
  {
    name: 'kill -9 of host agent and of provisioning while a volume is made and deleted: one file, and none',
    see: async (lab) => {
      const made = await lab.killedAt('host agent', 'task:host.create-volume:after', {}, () => create(lab, 'killed'));
      const { volumeId } = made.done;
      const there = { killed: true, ended: 'succeeded', state: 'available', files: 1 };
      const look = async () => ({
        killed: made.killed,
        ended: made.done.end.state,
        state: await stateOf(lab, volumeId),
        files: filesOf(lab, volumeId),
      });
      const first = await settles(there, look);
      const gone = await lab.killedAt('provisioning', 'task:volume.record-deleted:after', {}, () => remove(lab, volumeId));
      const none = { killed: true, ended: 'succeeded', state: 'deleted', files: 0 };
      const after = async () => ({
        killed: gone.killed,
        ended: gone.done.state,
        state: await stateOf(lab, volumeId),
        files: filesOf(lab, volumeId),
      });
      return {
        expected: { made: there, deleted: none },
        observed: { made: first.observed, deleted: (await settles(none, after)).observed },
      };
    },
  },
];
