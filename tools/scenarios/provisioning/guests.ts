import { createHash } from 'node:crypto';
import type { Client } from '@chrysalis/api-client';
import { IMAGE_CHUNK_BYTES, type ImageFile } from '@chrysalis/contracts';
import { bootDisk } from '../../../libs/hypervisor/src/test/boot-disk.ts';
import { efiDisk } from '../../../libs/hypervisor/src/test/efi-disk.ts';

/**
 * Whom the scenarios are about. `linux`: the small guest image, a kernel, with an agent and a service. The others boot from a disk of 1 MiB
 * in an instant, count their boots on it, and have neither: `tiny` then rests, `goes-off` and `restarts` do so by themselves at their first boot;
 * `uefi` counts in the variables of its firmware.
 */
export const guests = {
  linux: { type: 'small@1', image: 'linux@1' },
  tiny: { type: 'tiny@1', image: 'tiny@1' },
  'goes-off': { type: 'tiny@1', image: 'goes-off@1' },
  restarts: { type: 'tiny@1', image: 'restarts@1' },
  uefi: { type: 'tiny@1', image: 'uefi@1' },
} as const;
export type GuestName = keyof typeof guests;

const disks = { tiny: bootDisk(), 'goes-off': bootDisk('power-off'), restarts: bootDisk('reset'), uefi: efiDisk() } as const;
const tinyType = {
  vcpus: { now: 1, max: 1 },
  memoryMiB: { now: 128, max: 128 },
  disks: [],
  nics: [{ id: 'front', network: 'front' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
};

export const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** By the API, a piece after the other. What the last of them was answered with, and how many there were. */
export const upload = async (api: Client, file: Buffer, format: ImageFile['format']): Promise<{ pieces: number; answer: ImageFile }> => {
  const digest = digestOf(file);
  let pieces = 0;
  for (let offset = 0; ;) {
    const data = file.subarray(offset, offset + IMAGE_CHUNK_BYTES).toString('base64');
    const body = { format, bytes: file.length, offset, data };
    const answer = (await api.put('/v1/image-files/{digest}', { path: { digest }, body })) as ImageFile;
    pieces += 1;
    if (answer.received >= file.length || answer.received <= offset) return { pieces, answer };
    offset = answer.received;
  }
};

/** A disk that was brought to the depot, and of what it is an image now. */
export type Uploaded = { readonly image: string; readonly digest: string; readonly pieces: number; readonly state: string };

/** The disks are uploaded and registered, with a type for them; hosts fetch them when a VM is to boot. */
export const publishTinyGuests = async (api: Client): Promise<Uploaded[]> => {
  await api.post('/v1/vm-types', { body: { name: 'tiny', spec: tinyType } });
  return Promise.all(
    Object.entries(disks).map(async ([name, disk]) => {
      const { pieces, answer } = await upload(api, disk, 'raw');
      const digest = digestOf(disk);
      const firmware = name === 'uefi' ? ({ firmware: 'uefi' } as const) : {};
      const image = { name, version: 1, digest, cmdline: '', disk: { format: 'raw', sizeMiB: 1, ...firmware } } as const;
      await api.post('/v1/images', { body: { image } });
      return { image: name, digest, pieces, state: answer.state };
    }),
  );
};
