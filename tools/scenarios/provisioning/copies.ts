import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { volumeFile } from '@chrysalis/contracts';
import type { BodyOf } from '@chrysalis/api-client';
import { bootDisk } from '../../../libs/hypervisor/src/test/boot-disk.ts';
import { settles, type Claim, type Seen } from '../claim.ts';
import { digestOf, upload } from './guests.ts';
import type { Lab } from './lab.ts';
import { refusal } from './look.ts';

const MIB = 1_048_576;
const pathOf = (lab: Lab, volumeId: string): string => path.join(lab.run.dir, 'shared-pool', volumeFile(volumeId));
/** Of the first MiB, as anybody reads it. */
const checksum = (lab: Lab, volumeId: string): string => {
  const raw = path.join(lab.run.dir, `${volumeId}.raw`);
  execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', pathOf(lab, volumeId), raw]);
  const bytes = readFileSync(raw).subarray(0, MIB);
  rmSync(raw);
  return digestOf(bytes);
};

type Create = BodyOf<'post', '/v1/volumes'>;
const create = async (lab: Lab, body: Create) => {
  const { volumeId, operation } = await lab.api.post('/v1/volumes', { body });
  return { volumeId, ended: (await lab.ended(operation)).state };
};
const remove = async (lab: Lab, volumeId: string): Promise<string> =>
  (await lab.ended((await lab.api.delete('/v1/volumes/{id}', { path: { id: volumeId } })).operation)).state;
const held = async (lab: Lab, volumeId: string): Promise<number> =>
  (await lab.poolNamed('shared')).holds?.find((h) => h.consumer.id === volumeId)?.sizeMiB ?? 0;

const fromImageAndVolume: Claim['see'] = async (lab): Promise<Seen> => {
  const vm = await lab.running('linux');
  const first = await create(lab, { name: 'of-image', from: { image: 'tiny@1' }, sizeMiB: 8 });
  const bytes = digestOf(bootDisk().subarray(0, MIB));
  const observed: Record<string, unknown> = {};
  observed['ofImage'] = { ended: first.ended, bytes: checksum(lab, first.volumeId), held: await held(lab, first.volumeId) };
  observed['tooSmall'] = await refusal(create(lab, { name: 'less', from: { volume: first.volumeId }, sizeMiB: 4 }));
  const second = await create(lab, { name: 'of-volume', from: { volume: first.volumeId } });
  observed['ofVolume'] = { ended: second.ended, bytes: checksum(lab, second.volumeId), held: await held(lab, second.volumeId) };
  const { operation } = await lab.api.post('/v1/volumes/{id}/attach', { path: { id: second.volumeId }, body: { vm: vm.vmId } });
  if (operation) await lab.ended(operation);
  observed['whileAttached'] = await refusal(create(lab, { name: 'torn', from: { volume: second.volumeId } }));
  const off = await lab.api.post('/v1/volumes/{id}/detach', { path: { id: second.volumeId }, body: {} });
  if (off.operation) await lab.ended(off.operation);
  observed['gone'] = { first: await remove(lab, first.volumeId), second: await remove(lab, second.volumeId) };
  observed['held'] = (await held(lab, first.volumeId)) + (await held(lab, second.volumeId));
  return {
    expected: {
      ofImage: { ended: 'succeeded', bytes, held: 8 },
      tooSmall: { refused: 'volume.source_larger', status: 422 },
      ofVolume: { ended: 'succeeded', bytes, held: 8 },
      whileAttached: { refused: 'volume.attached', status: 409 },
      gone: { first: 'succeeded', second: 'succeeded' },
      held: 0,
    },
    observed,
    vm,
  };
};

/** An image of its own, so that no other scenario's VM is of it. */
const deleted: Claim['see'] = async (lab): Promise<Seen> => {
  const disk = Buffer.concat([bootDisk(), Buffer.from('another one'.padEnd(512, ' '))]);
  const digest = digestOf(disk);
  await upload(lab.api, disk, 'raw');
  await lab.api.post('/v1/images', {
    body: { image: { name: 'brief', version: 1, digest, cmdline: '', disk: { format: 'raw', sizeMiB: 2 } } },
  });
  const drop = () => lab.api.delete('/v1/images/{name}/{version}', { path: { name: 'brief', version: '1' } });
  const body = { name: 'brief', type: 'tiny@1', image: 'brief@1', host: lab.host.hostId };
  const { vmId, operation } = await lab.api.post('/v1/vms', { body });
  const whileCreated = await refusal(drop());
  await lab.ended(operation);
  const whileThere = await refusal(drop());
  await lab.remove(vmId);
  const hostFile = path.join(lab.host.stateDir, 'images', `i${digest.slice(7, 69)}.img`);
  const onHost = existsSync(hostFile);
  await drop();
  const expected = {
    whileCreated: { refused: 'image.in_use', status: 409 },
    whileThere: { refused: 'image.in_use', status: 409 },
    onHost: true,
    listed: false,
    newVm: { refused: 'image.unknown', status: 422 },
    files: { depot: 0, host: 0 },
  };
  const newVm = await refusal(lab.api.post('/v1/vms', { body }));
  const { observed } = await settles(
    expected,
    async () => ({
      ...{ whileCreated, whileThere, onHost, newVm },
      listed: (await lab.api.all('/v1/images')).some((i) => i.name === 'brief'),
      files: {
        depot: lab.depot().filter((name) => name === `${digest.slice(7)}.raw`).length,
        host: existsSync(hostFile) ? 1 : 0,
      },
    }),
    90_000,
  );
  return { expected, observed };
};

export const copyClaims: readonly Claim[] = [
  {
    name: 'a volume is made of an image, and one of that volume, to the byte; not smaller, and not while a VM writes to it',
    see: fromImageAndVolume,
  },
  {
    name: 'an image is not deleted while a VM of it is there or being made; then it is, and its files in the depot and on hosts go',
    see: deleted,
  },
];
