import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { SeedRequest } from '@chrysalis/contracts';
import type { ProblemError } from '@chrysalis/service-kit';
import { fatDisk } from './fat.ts';
import { seedDisk } from './seed.ts';

const of = (wanted: SeedRequest): Buffer =>
  seedDisk({ vmId: 'vm-1', hostName: 'web', nics: [{ id: 'front', mac: '52:54:00:00:00:01' }], wanted, salt: Buffer.alloc(16, 7) });
const refusal = (wanted: SeedRequest): unknown => {
  try {
    of(wanted);
    return undefined;
  } catch (error) {
    return (error as ProblemError).problem;
  }
};

/** As any reader of FAT finds it: by the boot sector's numbers, long names, and the chain of clusters. */
const read = (disk: Buffer): Record<string, string> => {
  const [sector, fats, entries, fatSectors] = [disk.readUInt16LE(11), disk.readUInt8(16), disk.readUInt16LE(17), disk.readUInt16LE(22)];
  const root = sector * (disk.readUInt16LE(14) + fats * fatSectors);
  const follow = (cluster: number): number => {
    const both = disk.readUInt16LE(sector + cluster + (cluster >> 1));
    return cluster & 1 ? both >> 4 : both & 0xfff;
  };
  const found: Record<string, string> = {};
  let long = '';
  for (let at = root; disk[at] !== 0; at += 32) {
    const e = disk.subarray(at, at + 32);
    if (e[11] === 0x0f) {
      const chars = [e.subarray(1, 11), e.subarray(14, 26), e.subarray(28, 32)].map((b) => b.toString('utf16le')).join('');
      long = chars.split(/\0/)[0]! + long;
      continue;
    }
    if (e[11] === 0x08) {
      found['(label)'] = e.toString('latin1', 0, 11).trim();
      continue;
    }
    const parts: Buffer[] = [];
    for (let c = e.readUInt16LE(26); c >= 2 && c < 0xff8; c = follow(c)) {
      const from = root + entries * 32 + (c - 2) * sector;
      parts.push(disk.subarray(from, from + sector));
    }
    found[long] = Buffer.concat(parts).toString('latin1', 0, e.readUInt32LE(28));
    long = '';
  }
  return found;
};

test('a seed is a disk labelled CIDATA with what NoCloud reads', () => {
  const userData = `#cloud-config\npackages: [${'nginx, '.repeat(200)}]\n`;
  const files = read(of({ sshKeys: ['ssh-ed25519 AAAA olga'], userData }));
  expect(Object.keys(files)).toEqual(['(label)', 'meta-data', 'user-data', 'network-config', 'salt']);
  expect(files['(label)']).toBe('CIDATA');
  expect(JSON.parse(files['meta-data']!)).toEqual({
    'instance-id': 'vm-1',
    'local-hostname': 'web',
    'public-keys': ['ssh-ed25519 AAAA olga'],
  });
  expect(files['user-data']).toBe(userData);
  expect(JSON.parse(files['network-config']!)).toEqual({
    version: 2,
    ethernets: { front: { match: { macaddress: '52:54:00:00:00:01' }, dhcp4: true } },
  });
  expect(read(of({}))['user-data']).toBe('#cloud-config\n{}\n');
  expect(of({}).equals(of({}))).toBe(true);
});

test.each<[string, SeedRequest, RegExp]>([
  ['no cloud-config', { userData: '#!/bin/sh\nreboot\n' }, /first line/],
  ['no YAML', { userData: '#cloud-config\na: [hunter2\n' }, /no YAML/],
  ['no mapping', { userData: '#cloud-config\n- hunter2\n' }, /mapping/],
  ['one name twice', { userData: '#cloud-config\na: hunter2\na: 2\n' }, /no YAML/],
  ['aliases without end', { userData: `#cloud-config\na: &a [x]\n${Array.from({ length: 12 }, (_, i) => `b${i}: &b${i} [${`*${i ? `b${i - 1}` : 'a'}, `.repeat(9)}]\n`).join('')}` }, /aliases/],
  ['a network of version 1', { networkConfig: 'version: 1\n' }, /version: 2/],
])('is refused by its place alone, and what is in it is not said: %s', (_, wanted, why) => {
  const problem = refusal(wanted) as { code: string; detail: string };
  expect(problem.code).toBe('seed.invalid');
  expect(problem.detail).toMatch(why);
  expect(JSON.stringify(problem)).not.toContain('hunter2');
}); // prettier-ignore

test('what finds no room is refused', () => {
  expect(() => fatDisk('X', [{ name: 'a', content: Buffer.alloc(1_048_576) }])).toThrow(RangeError);
  expect(() =>
    fatDisk(
      'X',
      Array.from({ length: 40 }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(1) })),
    ),
  ).toThrow(RangeError);
});

/** Where there is a tool that knows FAT by itself, it finds no fault either. */
test('dosfstools or mtools read it', () => {
  const dir = mkdtempSync(join(tmpdir(), 'chrysalis-seed-'));
  try {
    const file = join(dir, 'seed');
    writeFileSync(file, of({ userData: '#cloud-config\nhostname: x\n' }));
    const has = (tool: string): boolean => {
      try {
        return execFileSync('sh', ['-c', `command -v ${tool}`]).length > 0;
      } catch {
        return false;
      }
    };
    if (has('fsck.vfat')) execFileSync('fsck.vfat', ['-n', file]);
    if (has('mtype')) expect(execFileSync('mtype', ['-i', file, '::user-data'], { encoding: 'utf8' })).toBe('#cloud-config\nhostname: x\n');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
