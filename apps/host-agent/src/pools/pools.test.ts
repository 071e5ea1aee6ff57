import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { folder, MARKER } from './folder.ts';
import { goOn } from './go-on.ts';
import { Pools } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'chy-pools-'));
afterAll(() => rmSync(dir, { recursive: true }));
const newId = (): string => `pool-${randomUUID()}`;
const silent = { warn: () => undefined, info: () => undefined, debug: () => undefined } as never;

test('hosts that come to a folder at once read one id in it, and so does whoever comes later, under another path; another folder is another pool', async () => {
  const at = join(dir, 'shared');
  const ids = await Promise.all(Array.from({ length: 16 }, () => folder.identity(at, newId)));
  expect(new Set(ids).size).toBe(1);
  expect(readFileSync(join(at, MARKER), 'utf8')).toBe(`${ids[0]}\n`);
  expect(readdirSync(at)).toEqual([MARKER]);
  expect(await folder.identity(join(at, '..', 'shared'), newId)).toBe(ids[0]);
  expect(await folder.identity(join(dir, 'other'), newId)).not.toBe(ids[0]);
  writeFileSync(join(dir, 'other', MARKER), 'pool-../../etc');
  await expect(folder.identity(join(dir, 'other'), newId)).rejects.toThrow('names no pool');
});

test('its room is what its files have of the disk, by blocks, and what is free beside', async () => {
  const at = join(dir, 'room');
  mkdirSync(at);
  writeFileSync(join(at, 'a'), Buffer.alloc(3 * 1_048_576, 1));
  const { usedMiB, freeMiB } = await folder.room(at);
  expect(usedMiB).toBeGreaterThanOrEqual(3);
  expect(usedMiB).toBeLessThan(5);
  expect(freeMiB).toBeGreaterThan(0);
});

test('a pool that cannot be looked at is not told of, and the others are', async () => {
  writeFileSync(join(dir, 'file'), '');
  const inventory = { diskMiB: { total: 100 } };
  const place = (directory: string) => ({ directory, shared: true, kind: 'folder' });
  const pools = new Pools(
    { driver: 'qemu', inventory, pools: { good: place(join(dir, 'room')), bad: place(join(dir, 'file')) } } as never,
    silent,
  );
  const seen = await pools.look();
  expect((await pools.known()).map((p) => p.name)).toEqual(['good']);
  expect(seen).toEqual([{ poolId: (await pools.known())[0]!.poolId, usedMiB: expect.any(Number), freeMiB: expect.any(Number) }]);
  expect([pools.hasRoom('good'), pools.hasRoom('bad')]).toEqual([true, false]);
});

test('a guest goes on where all its starved disks have room; one that is moved, or is another host’s, is left alone', async () => {
  const went: string[] = [];
  const driver = {
    starved: async (vmId: string) => (vmId === 'vm-well' ? [] : ['data', 'root']),
    status: async () => ({ migrating: false, topology: { disks: [{ id: 'data', pool: 'a' }, { id: 'root', pool: 'b' }] } }), // prettier-ignore
    unpause: async (vmId: string) => void went.push(vmId),
  };
  const runner = (vmId: string, move?: object) => ({ vmId, role: 'runner', ...(move ? { move } : {}) });
  const states = {
    all: () => [
      runner('vm-1'),
      runner('vm-well'),
      runner('vm-moving', { side: 'source', phase: 'transferring', moveId: 'm' }),
      { vmId: 'vm-2', role: 'incoming' },
    ],
  };
  const parts = { driver, states, log: silent } as never;
  expect(await goOn(parts, { hasRoom: (pool) => pool === 'a' })).toEqual([]);
  expect(await goOn(parts, { hasRoom: () => true })).toEqual(['vm-1']);
  expect(went).toEqual(['vm-1']);
});
