import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { GuestFacts } from '@chrysalis/contracts';
import { bringCpusOnline, takeCpusOffline } from '../commands/cpus.ts';
import { growFileSystem } from '../commands/filesystem.ts';
import { bringMemoryOnline } from '../commands/memory.ts';
import { differences } from '../commands/verify.ts';
import { detect } from './detectors.ts';
import { FakeGuest } from './fake-guest.ts';
import { readFacts } from './facts.ts';
import { parseList } from './guest.ts';

let guest: FakeGuest;
beforeEach(async () => {
  guest = await FakeGuest.make();
});
afterEach(() => guest.end());

test('sets as the kernel writes them', () => {
  expect(parseList('0-2,5')).toEqual([0, 1, 2, 5]);
  expect(parseList('')).toEqual([]);
  expect(parseList('7')).toEqual([7]);
});

describe('facts', () => {
  test('are what the guest shows, without the agent itself', async () => {
    const facts = await readFacts(guest);
    expect(GuestFacts.parse(facts)).toMatchObject({
      bootId: '11111111-2222-3333-4444-555555555555',
      uptimeSeconds: 12.5,
      os: { id: 'debian', version: '12', kernel: '6.1.0-56-cloud-amd64' },
      vcpus: 1,
      memoryMiB: 512,
      disks: [{ name: 'vda', serial: 'data', bytes: 268_435_456 }],
      fileSystems: [{ mount: '/data', disk: 'data', type: 'ext4' }],
      nics: ['52:54:00:00:00:01'],
    });
  });

  test('a kernel without memory blocks counts MemTotal; a partition belongs to its disk', async () => {
    await guest.without('sys/devices/system/memory');
    await guest.files({ 'proc/meminfo': 'MemTotal:        1048576 kB', 'proc/self/mounts': '/dev/vda1 /data xfs rw 0 0' });
    const facts = await readFacts(guest);
    expect(facts.memoryMiB).toBe(1024);
    expect(facts.fileSystems).toMatchObject([{ disk: 'data', type: 'xfs' }]);
  });
});

describe('detectors', () => {
  const found = async (): Promise<Record<string, string>> => {
    const { os } = await readFacts(guest);
    return Object.fromEntries((await detect(guest, os)).map((c) => [c.name, c.state]));
  };

  test('everything is there, each with evidence', async () => {
    const { os } = await readFacts(guest);
    const all = await detect(guest, os);
    expect(all.map((c) => c.state)).toEqual(Array(8).fill('present'));
    for (const c of all) expect(c.evidence.length).toBeGreaterThan(5);
  });

  test.each([
    ['sys/devices/system/cpu/hotplug', 'cpu-hotplug', 'absent'],
    ['sys/devices/system/memory', 'memory-hotplug', 'absent'],
    ['sys/firmware/acpi', 'memory-hotunplug', 'absent'],
    ['proc/cmdline', 'memory-hotunplug', 'unknown'],
    ['sys/bus/virtio', 'disk-rescan', 'absent'],
    ['sys/bus/pci', 'nic-hotunplug', 'unknown'],
    ['sys/module/acpiphp', 'nic-hotunplug', 'absent'],
    ['proc/self/mounts', 'filesystem-grow', 'unknown'],
    ['bin/sh', 'run-script', 'absent'],
  ])('without %s: %s is %s', async (path, capability, state) => {
    await guest.without(path);
    expect((await found())[capability]).toBe(state);
  });

  test('no CPU is left to come, or the file system is one we cannot grow', async () => {
    await guest.files({ 'sys/devices/system/cpu/possible': '0', 'proc/self/mounts': '/dev/vda /data xfs rw 0 0' });
    expect(await found()).toMatchObject({ 'cpu-hotplug': 'absent', 'filesystem-grow': 'absent' });
  });

  test('an operating system no detector is for: unknown, never a guess', async () => {
    const states = (await detect(guest, { id: 'plan9', version: '4', kernel: 'x' })).map((c) => c.state);
    expect(states).toEqual(Array(8).fill('unknown'));
    const old = await detect(guest, { id: 'linux', version: '', kernel: '3.16.0' });
    expect(old.find((c) => c.name === 'cpu-hotplug')).toMatchObject({ state: 'unknown', evidence: expect.stringContaining('3.16.0') });
    expect(old.find((c) => c.name === 'run-script')?.state).toBe('present');
  });
});

describe('CPUs', () => {
  test('come online, and asking again changes nothing', async () => {
    expect(await bringCpusOnline(guest, 2)).toEqual({ online: 2 });
    expect(await bringCpusOnline(guest, 2)).toEqual({ online: 2 });
    expect(await takeCpusOffline(guest, 1)).toEqual({ online: 1 });
    expect(await takeCpusOffline(guest, 1)).toEqual({ online: 1 });
  });
  test('one that shows up late is waited for', async () => {
    setTimeout(() => void guest.files({ 'sys/devices/system/cpu/cpu2/online': '0' }), 60);
    expect(await bringCpusOnline(guest, 3, 2_000)).toEqual({ online: 3 });
  });
  test('one that refuses is named', async () => {
    guest.stubborn.add('cpu1');
    await expect(bringCpusOnline(guest, 2, 50)).rejects.toMatchObject({
      code: 'guest.cpus_not_online',
      detail: { online: 1, refused: { cpu1: 'EBUSY' } },
    });
  });
  test('cpu0 stays', async () => {
    await bringCpusOnline(guest, 2);
    guest.stubborn.add('cpu1');
    await expect(takeCpusOffline(guest, 1)).rejects.toMatchObject({ code: 'guest.cpus_not_offline' });
  });
});

describe('memory', () => {
  test('as many blocks as are needed, and asking again changes nothing', async () => {
    expect(await bringMemoryOnline(guest, 640)).toEqual({ onlineMiB: 640 });
    expect(await bringMemoryOnline(guest, 640)).toEqual({ onlineMiB: 640 });
    expect(await bringMemoryOnline(guest, 768)).toEqual({ onlineMiB: 768 });
  });
  test('more than is plugged fails with what there is', async () => {
    await expect(bringMemoryOnline(guest, 4096, 50)).rejects.toMatchObject({
      code: 'guest.memory_not_online',
      detail: { onlineMiB: 768, blocks: 6 },
    });
  });
});

describe('file systems', () => {
  const never = (): Promise<never> => Promise.reject(new Error('must not be called'));
  test('a disk that is not there, and one with nothing to grow', async () => {
    await expect(growFileSystem(guest, 'gone', never)).rejects.toMatchObject({ code: 'guest.disk_unknown' });
    await guest.files({ 'proc/self/mounts': '/dev/vda /data xfs rw 0 0' });
    await expect(growFileSystem(guest, 'data', never)).rejects.toMatchObject({ code: 'guest.filesystem_unsupported' });
  });
});

test('verify names every difference at once', async () => {
  const facts = await readFacts(guest);
  expect(differences({ vcpus: 1, memoryMiB: 512, disks: [{ serial: 'data', minBytes: 1 }], macs: ['52:54:00:00:00:01'] }, facts)).toEqual(
    [],
  );
  const wrong = differences({ bootId: 'x', vcpus: 2, memoryMiB: 1024, disks: [{ serial: 'other', minBytes: 1 }], macs: [] }, facts);
  expect(wrong.map((d) => d.what)).toEqual(['bootId', 'vcpus', 'memoryMiB', 'disk other', 'disk data', 'macs']);
});
