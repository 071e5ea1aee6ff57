import { existsSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { volumeFile } from '@chrysalis/contracts';
import { smallPoolOf } from '../../fleet/run.ts';
import type { VmView } from '../../fleet/story.ts';
import { settles, type Claim, type Seen } from '../claim.ts';
import { SMALL_POOL_MIB, type Lab } from './lab.ts';
import { served } from './look.ts';

const MIB = 1_048_576;
/** The guest image's type has a data disk of so much, which the small pool has not. */
const DISK_MIB = 128;
const create = async (lab: Lab, name: string) => {
  const made = await lab.create('linux', { name, pool: 'small' });
  return { vmId: made.vmId, ended: made.end.state, ...(made.end.cause ? { cause: made.end.cause.code } : {}) };
};
const set = (lab: Lab, poolId: string, ratioPerMille: number) =>
  lab.api.patch('/v1/pools/{id}', { path: { id: poolId }, body: { ratioPerMille, reason: 'a scenario' } });

/** Whose the pools are, by their markers; what is promised is what there is, as the machine has it. */
const counted: Claim['see'] = async (lab): Promise<Seen> => {
  const marker = (dir: string): string => readFileSync(path.join(dir, '.chrysalis-pool'), 'utf8').trim();
  const shared = path.join(lab.run.dir, 'shared-pool');
  const small = smallPoolOf(lab.run.dir);
  const expected = {
    shared: { id: marker(shared), hosts: 2, sizeIsReal: true },
    small: { id: marker(small), hosts: 1, sizeIsReal: true },
  };
  const near = (a: number, b: number): boolean => Math.abs(a - b) <= Math.max(2, b / 50);
  const shown = async (name: string, dir: string) => {
    const { poolId, hosts, usedMiB, freeMiB } = await lab.poolNamed(name);
    const { bavail, bsize } = statfsSync(dir);
    return { id: poolId, hosts: hosts.length, sizeIsReal: near(usedMiB + freeMiB, usedMiB + Math.floor((bavail * bsize) / MIB)) };
  };
  return settles(expected, async () => ({ shared: await shown('shared', shared), small: await shown('small', small) }));
};

const stands = { state: 'running', observed: 'io-error', cause: 'vm.io_error', message: true, qemu: 'io-error', freeMiB: 0 };
/** Each answer is counted on the guest's disk. */
const standing = async (lab: Lab, vm: VmView) => {
  await lab.outside.asks(vm);
  const now = await lab.vm(vm.vmId);
  const cause = now.observed?.cause;
  return {
    state: now.state,
    observed: now.observed?.state,
    cause: cause?.code,
    message: cause?.message.includes('no space left') ?? false,
    qemu: (await lab.outside.cpus(vm))[0],
    freeMiB: (await lab.poolNamed('small')).freeMiB,
  };
};

/** More than there is is refused, leaves nothing, and is taken once an administrator allows it; then the pool is full, and has room again. */
const fillsAndGoesOn: Claim['see'] = async (lab): Promise<Seen> => {
  const dir = smallPoolOf(lab.run.dir);
  const filler = path.join(dir, 'somebody-elses');
  const { poolId } = await lab.poolNamed('small');
  const observed: Record<string, unknown> = {};
  const refused = await create(lab, 'too-much');
  observed['refused'] = { ended: refused.ended, cause: refused.cause, held: (await lab.poolNamed('small')).heldMiB };
  await set(lab, poolId, 4_000);
  const { vmId, ended } = await create(lab, 'narrow');
  observed['allowed'] = { ended, held: (await lab.poolNamed('small')).heldMiB };
  const vm = await lab.vm(vmId);
  const before = await served(lab, vm);

  const { bavail, bsize } = statfsSync(dir);
  writeFileSync(filler, Buffer.alloc(bavail * bsize)); // to the last block
  const full = await settles(stands, () => standing(lab, vm), 90_000);
  observed['full'] = full.observed;
  rmSync(filler);
  const again = { observed: 'running', qemu: 'running', sameBoot: true, counted: true };
  const on = await settles(again, async () => {
    const answer = await lab.outside.asks(vm);
    return {
      observed: (await lab.vm(vmId)).observed?.state,
      qemu: (await lab.outside.cpus(vm))[0],
      sameBoot: answer !== undefined && answer.bootId === before?.bootId,
      counted: (answer?.requests ?? 0) > (before?.requests ?? 0),
    };
  });
  observed['goesOn'] = on.observed;
  await lab.remove(vmId);
  await lab.remove(refused.vmId).catch(() => undefined);
  await set(lab, poolId, 1_000);
  observed['after'] = { held: (await lab.poolNamed('small')).heldMiB };
  return {
    expected: {
      refused: { ended: 'undone', cause: 'pool.capacity_exceeded', held: 0 },
      allowed: { ended: 'succeeded', held: DISK_MIB },
      full: stands,
      goesOn: again,
      after: { held: 0 },
    },
    observed,
    vm,
  };
};

/** The disk says so when the file is made; the ledger does where its host has looked since it was filled. */
const fullBy = ['hypervisor.pool_full', 'pool.capacity_exceeded'];
/** Thin, and then in full; and one that the disk has no room for although nothing is promised of it. */
const inFull: Claim['see'] = async (lab): Promise<Seen> => {
  const dir = smallPoolOf(lab.run.dir);
  const { poolId } = await lab.poolNamed('small');
  const allocate = (allocation: 'thin' | 'full') =>
    lab.api.patch('/v1/pools/{id}', { path: { id: poolId }, body: { allocation, reason: 'a scenario' } });
  const made = async (name: string, sizeMiB: number) => {
    const body = { name, sizeMiB, pool: 'small', host: lab.host.hostId };
    const { volumeId, operation } = await lab.api.post('/v1/volumes', { body });
    const { state, cause } = await lab.ended(operation);
    const file = path.join(dir, volumeFile(volumeId));
    const takes = existsSync(file) && statSync(file).blocks * 512 >= sizeMiB * MIB ? 'all' : 'less';
    return { volumeId, seen: { ended: state, ...(cause ? { full: fullBy.includes(cause.code) } : { takes }), left: existsSync(file) } };
  };
  const thin = await made('thin', 16);
  await allocate('full');
  const full = await made('full', 16);
  const filler = path.join(dir, 'somebody-elses');
  const { bavail, bsize } = statfsSync(dir);
  writeFileSync(filler, Buffer.alloc(bavail * bsize - 4 * MIB));
  const noRoom = await made('no-room', 8);
  rmSync(filler);
  for (const { volumeId } of [thin, full, noRoom])
    await lab.ended((await lab.api.delete('/v1/volumes/{id}', { path: { id: volumeId } })).operation);
  await allocate('thin');
  return {
    expected: {
      thin: { ended: 'succeeded', takes: 'less', left: true },
      full: { ended: 'succeeded', takes: 'all', left: true },
      noRoom: { ended: 'undone', full: true, left: false },
      held: 0,
    },
    observed: { thin: thin.seen, full: full.seen, noRoom: noRoom.seen, held: (await lab.poolNamed('small')).heldMiB },
  };
};

export const poolClaims: readonly Claim[] = [
  { name: 'a pool whose files are made in full gives a volume all its room at once, and says so where the disk has none', see: inFull },
  {
    name: 'a pool that two hosts share is one, by the id that is written in it, and one of a host alone another; both have their real room',
    see: counted,
  },
  {
    name: `a pool of ${SMALL_POOL_MIB} MiB refuses a VM of ${DISK_MIB}; allowed to, it fills while the guest writes: the guest stands still, said so, and goes on by itself when there is room`,
    see: fillsAndGoesOn,
  },
];
