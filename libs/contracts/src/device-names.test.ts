import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  AGENT_DISK,
  agentDiskOf,
  agentSerial,
  agentVolume,
  isAgentVolume,
  blockNode,
  diskSerial,
  fileNode,
  MAX_NODE_NAME,
  MAX_SERIAL,
  namedDisksOf,
} from './device-names.ts';
import { Device, DeviceId, Name, Topology } from './shapes.ts';

const anyName = fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/);
/** Names that begin alike are those that a cut would make one. */
const alike = fc.tuple(
  fc.stringMatching(/^[a-z][a-z0-9-]{14,40}$/),
  fc.stringMatching(/^[a-z0-9-]{0,20}$/),
  fc.stringMatching(/^[a-z0-9-]{0,20}$/),
);
const pairs = fc.oneof(
  fc.tuple(anyName, anyName),
  alike.map(([start, a, b]): [string, string] => [start + a, start + b]),
);
const anyDigest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
/** What QEMU takes as an id, and the bytes that virtio-blk and QEMU keep. */
const idOfQemu = /^[A-Za-z][A-Za-z0-9._-]*$/;

describe('of every name that the schema allows', () => {
  test('guest and QEMU see what they can hold', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        expect(Name.safeParse(name).success).toBe(true);
        expect(diskSerial(name).length).toBeLessThanOrEqual(MAX_SERIAL);
        for (const node of [blockNode(name), fileNode(name)]) {
          expect(node.length).toBeLessThanOrEqual(MAX_NODE_NAME);
          expect(node).toMatch(idOfQemu);
        }
        expect([diskSerial(name), blockNode(name)]).toEqual([diskSerial(name), blockNode(name)]);
      }),
    );
  });

  test('two names are two to both', () => {
    fc.assert(
      fc.property(pairs, ([a, b]) => {
        fc.pre(a !== b);
        expect(diskSerial(a)).not.toBe(diskSerial(b));
        expect(blockNode(a)).not.toBe(blockNode(b));
        expect(fileNode(a)).not.toBe(fileNode(b));
      }),
    );
  });

  test('none is what Chrysalis plugs by itself', () => {
    fc.assert(
      fc.property(anyName, anyDigest, (name, digest) => {
        expect(diskSerial(name)).not.toBe(agentSerial(digest));
        expect(blockNode(name)).not.toBe(blockNode(AGENT_DISK));
      }),
    );
    // The form alone keeps them apart: a made serial has its dot elsewhere.
    expect(diskSerial('a'.repeat(63)).indexOf('.')).not.toBe(agentSerial(`sha256:${'0'.repeat(64)}`).indexOf('.'));
    expect([Name.safeParse(AGENT_DISK).success, DeviceId.safeParse(AGENT_DISK).success]).toEqual([false, true]);
  });
});

test('names of before are seen as they were: their QEMUs run on', () => {
  expect([diskSerial('data'), blockNode('data'), fileNode('data')]).toEqual(['data', 'block-data', 'file-data']);
  expect(blockNode('a'.repeat(25))).toBe(`block-${'a'.repeat(25)}`);
});

describe('the disk that brings the agent', () => {
  const volume = agentVolume(`sha256:${'ab'.repeat(32)}`);
  const disk = (id: string, over: object = {}) => ({
      id, port: 0, serial: id.slice(0, 20), sizeMiB: 1, format: 'raw' as const, pool: 'shared', volume: 'vm-1.agent.qcow2', readOnly: false, ...over,
    }); // prettier-ignore

  test('has a file that is told by its name', () => {
    expect([volume, `${volume}.new-7`, 'agent-1.squashfs', `x${volume}`].map(isAgentVolume)).toEqual([true, false, false, false]);
  });

  test('is told from a user’s of any name', () => {
    const users = [disk('agent'), disk('data', { readOnly: true })];
    expect(agentDiskOf({ disks: users })).toBeUndefined();
    const ours = disk(AGENT_DISK, { volume, readOnly: true });
    expect(agentDiskOf({ disks: [...users, ours] })).toBe(ours);
    expect(namedDisksOf({ disks: [...users, ours] })).toEqual(users);
  });

  test('also where it was plugged under its name of before', () => {
    const ours = disk('agent', { volume, readOnly: true });
    expect(agentDiskOf({ disks: [disk('data'), ours] })).toBe(ours);
  });

  test('may be in a topology, and is no device that a task can plug', () => {
    const ours = disk(AGENT_DISK, { volume, readOnly: true });
    expect(Topology.shape.disks.safeParse([ours]).success).toBe(true);
    expect(Device.safeParse({ kind: 'disk', ...ours }).success).toBe(false);
  });
});
