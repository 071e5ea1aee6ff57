import { expect, test } from '@jest/globals';
import { moveRequest } from '@chrysalis/placement';
import { difference } from './difference.ts';
import { large, small, topology } from './test/fixtures.ts';

const root = { id: 'root', sizeMiB: 1536 };
const rooted = {
  ...topology({ ...small, disks: [root, ...small.disks] }),
  image: { name: 'debian', version: 1, digest: `sha256:${'d'.repeat(64)}`, cmdline: '', disk: { format: 'qcow2' as const, sizeMiB: 1536 } },
};

test('the disk that a VM boots from stays, whatever types say, and is held wherever it goes', () => {
  const of = { ...small, disks: [root, ...small.disks] };
  expect(difference({ topology: rooted, spec: small }, large)).toMatchObject({
    disksRemoved: [],
    disksAdded: [],
    disksGrown: [{ id: 'data' }],
  });
  expect(difference({ topology: rooted, spec: of }, large).disksRemoved).toEqual([]);
  expect(difference({ topology: topology(of), spec: of }, large).disksRemoved).toEqual(['root']); // of a VM that boots from a kernel it is a disk as any
  expect(moveRequest('vm-1', rooted, large).amounts.diskMiB).toBe(512 + 1536);
  expect(moveRequest('vm-1', rooted, { ...large, disks: [{ id: 'root', sizeMiB: 4096 }] }).amounts.diskMiB).toBe(4096);
});
