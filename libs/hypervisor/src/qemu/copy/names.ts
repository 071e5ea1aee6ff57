import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blockNode, type Topology } from '@chrysalis/contracts';
import { HypervisorError } from '../../errors.ts';
import type { QmpClient } from '../../qmp.ts';
import { FLASH_VARIABLES } from '../command-line.ts';
import type { Vm } from '../vm.ts';

/** Jobs, nodes and exports of a copy, by their number: a volume's own name may be longer than QEMU's names are. */
export const copyName = (nr: number): string => `copy-${nr}`;
const OURS = /^copy-[0-9]+$/;
export const isCopy = (name: string | undefined): boolean => name !== undefined && OURS.test(name);
export const TLS = 'copy-tls';
const USER = 'qemu';

const missing = (volume: string): HypervisorError =>
  new HypervisorError('hypervisor.volume_missing', `The VM has no volume ${volume} to be copied`, { volume });

/** What a copied volume is in this hardware. Read-only: a disk that its guest only reads, as the seed. */
export const partOf = (t: Topology, volume: string): { readonly pool: string; readonly node: string; readonly readOnly: boolean } => {
  const disk = t.disks.find((d) => d.volume === volume);
  if (disk) return { pool: disk.pool, node: blockNode(disk.id), readOnly: disk.readOnly };
  if (t.uefi?.volume === volume) return { pool: t.uefi.pool, node: FLASH_VARIABLES, readOnly: false };
  throw missing(volume);
};

const folder = (vm: Vm): string => join(vm.files.dir, TLS);

/** Both ends have the secret, and nobody without it connects, reads or writes. In a file, as QEMU wants it; its folder is the VM's own. */
export const addSecret = async (vm: Vm, secret: string, endpoint: 'client' | 'server'): Promise<void> => {
  const dir = folder(vm);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  await writeFile(join(dir, 'keys.psk'), `${USER}:${secret}\n`, { mode: 0o600 });
  await vm.qmp.execute('object-add', {
    'qom-type': 'tls-creds-psk',
    id: TLS,
    endpoint,
    dir,
    ...(endpoint === 'client' ? { username: USER } : {}),
  });
};

/** QEMU has read the file when it has the object. */
export const dropSecret = async (vm: Vm): Promise<void> => {
  await vm.qmp.execute('object-del', { id: TLS }).catch(() => undefined);
  await rm(folder(vm), { recursive: true, force: true });
};

export const dropNodes = async (qmp: QmpClient): Promise<void> => {
  const nodes = await qmp.execute<{ 'node-name'?: string }[]>('query-named-block-nodes', { flat: true });
  for (const name of nodes.map((n) => n['node-name'])) if (isCopy(name)) await qmp.execute('blockdev-del', { 'node-name': name });
};
