import { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { qgaCharacterise } from './qga-characterise.ts';
import { QgaError } from './qga-connection.ts';
import { QgaClient } from './qga.ts';

type Reply = (command: string, args: Record<string, unknown>) => unknown;
/** qemu-ga's side of the wire: one line in, one line out; `guest-sync-delimited` puts 0xFF before its answer. */
class Peer {
  readonly asked: string[] = [];
  readonly stream: Duplex;
  readonly client: QgaClient;
  private readonly reply: Reply;
  constructor(reply: Reply, o: { beforeSync?: Buffer } = {}) {
    this.reply = reply;
    let buffer = '';
    this.stream = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _, done) => {
        buffer += chunk.toString('latin1').replaceAll('\xff', '');
        for (let end = buffer.indexOf('\n'); end >= 0; end = buffer.indexOf('\n')) {
          this.line(buffer.slice(0, end), o.beforeSync);
          buffer = buffer.slice(end + 1);
        }
        done();
      },
    });
    this.client = new QgaClient(this.stream);
    peers.push(this);
  }
  private line(text: string, beforeSync?: Buffer): void {
    const { execute, arguments: args = {} } = JSON.parse(text) as { execute: string; arguments?: Record<string, unknown> };
    if (execute === 'guest-sync-delimited') {
      const answer = Buffer.concat([Buffer.of(0xff), Buffer.from(`${JSON.stringify({ return: args['id'] })}\n`)]);
      setImmediate(() => this.stream.push(Buffer.concat([beforeSync ?? Buffer.alloc(0), answer])));
      return;
    }
    this.asked.push(execute);
    const value = this.reply(execute, args);
    if (value !== undefined) setImmediate(() => this.stream.push(`${JSON.stringify(value)}\n`));
  }
}
const peers: Peer[] = [];
afterEach(() => peers.splice(0).forEach((p) => p.stream.destroy()));
const ok = (value: unknown): unknown => ({ return: value });

test('answers of earlier clients before our number are dropped', async () => {
  const rest = Buffer.concat([
    Buffer.from('{"return": 5}\n\xff', 'latin1'),
    Buffer.from('{"return": 12345}\n{"error": {"desc": "older"}}\n'),
  ]);
  const { client } = new Peer(() => ok({}), { beforeSync: rest });
  await client.sync();
  await client.ping();
});

test('an answer that comes after its deadline is not taken for the next one', async () => {
  let first = true;
  const peer: Peer = new Peer((command) => {
    if (command !== 'guest-slow') return ok('mine');
    if (first) setTimeout(() => peer.stream.push('{"return": "late"}\n'), 60);
    first = false;
    return undefined;
  });
  await expect(peer.client.call('guest-slow', z.string(), undefined, 30)).rejects.toMatchObject({ code: 'qga.timeout' });
  await new Promise((r) => setTimeout(r, 60));
  expect(await peer.client.call('guest-quick', z.string())).toBe('mine');
});

test('refusals, commands that are not offered, answers that fit no schema', async () => {
  const { client } = new Peer((command) => {
    if (command === 'guest-info') return ok({ version: '7', supported_commands: [{ name: 'guest-exec', enabled: false }] });
    return command === 'guest-no' ? { error: { class: 'GenericError', desc: 'no' } } : ok('text');
  });
  await expect(client.call('guest-no', z.unknown())).rejects.toMatchObject({ code: 'qga.refused', message: 'guest-no: no' });
  await expect(client.start('/bin/sh', [])).rejects.toMatchObject({ code: 'qga.disabled' });
  await expect(client.vcpus()).rejects.toMatchObject({ code: 'qga.nonsense' });
});

test('setting CPUs in part is a failure', async () => {
  const { client } = new Peer(() => ok(1));
  const two = [1, 2].map((n) => ({ 'logical-id': n, online: true }));
  await expect(client.setVcpus(two)).rejects.toMatchObject({ code: 'qga.refused', detail: { done: 1 } });
});

describe('a program in the guest', () => {
  const exec = (after: number): Reply => {
    let left = after;
    return (command) => {
      if (command === 'guest-info') return ok({ version: '7', supported_commands: [{ name: 'guest-exec', enabled: true }] });
      if (command === 'guest-exec') return ok({ pid: 7 });
      return ok(left-- > 0 ? { exited: false } : { exited: true, exitcode: 3, 'out-data': Buffer.from('out').toString('base64') });
    };
  };
  test('is waited for', async () => {
    expect(await new Peer(exec(3)).client.exec('/bin/x', [])).toEqual({ exitCode: 3, stdout: 'out', stderr: '' });
    await expect(new Peer(exec(0)).client.shell('false')).rejects.toMatchObject({ code: 'qga.exec_failed' });
  });
  test('runs on at the deadline, and that is said', async () => {
    await expect(new Peer(exec(1e6)).client.exec('/bin/x', [], 50)).rejects.toMatchObject({ code: 'qga.timeout', detail: { pid: 7 } });
  });
});

describe('freeze', () => {
  const freezing =
    (asked: string[], thawFails: number): Reply =>
    (command) => {
      asked.push(command);
      if (command === 'guest-fsfreeze-thaw' && thawFails-- > 0) return { error: { desc: 'busy' } };
      return ok(command === 'guest-fsfreeze-status' ? 'thawed' : 2);
    };
  test('the guest thaws when the work fails, and a failed thaw is tried again', async () => {
    const asked: string[] = [];
    const { client } = new Peer(freezing(asked, 2));
    await expect(client.whileFrozen(() => Promise.reject(new Error('work')))).rejects.toThrow('work');
    expect(asked.filter((a) => a === 'guest-fsfreeze-thaw')).toHaveLength(3);
    expect(asked.at(-1)).toBe('guest-fsfreeze-status');
  });
  test('a thaw that is never confirmed is an error', async () => {
    const { client } = new Peer(freezing([], 1e9));
    await expect(client.whileFrozen(async () => 1)).rejects.toMatchObject({ code: 'qga.refused' });
  });
});

test('whatever a guest sends: an answer that fits or a QgaError', async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), fc.constantFrom('\xff\xff', '{', '{"return":{}}')), async (noise) => {
      const peer: Peer = new Peer(() => {
        setImmediate(() => peer.stream.push(`${typeof noise === 'string' ? noise : JSON.stringify(noise)}\n`));
        return undefined;
      });
      const got = await peer.client.call('guest-get-vcpus', z.array(z.int()), undefined, 200).catch((e: unknown) => e);
      if (!Array.isArray(got)) expect(got).toBeInstanceOf(QgaError);
    }),
    { numRuns: 60 },
  );
});

test('a guest that answers without end is cut off', async () => {
  const peer: Peer = new Peer(() => {
    for (let i = 0; i < 6; i++) peer.stream.push(Buffer.alloc(1 << 20, 0x20));
    return undefined;
  });
  await expect(peer.client.vcpus()).rejects.toMatchObject({ code: 'qga.unreachable' });
});

test('a characterisation says by which command, and what only the migration agent can', async () => {
  const files: Record<string, string> = {
    '/proc/sys/kernel/random/boot_id': '11111111-2222-3333-4444-555555555555\n',
    '/proc/uptime': '12.5 3\n',
    '/sys/block/vda/serial': 'data',
    '/sys/block/vda/size': '2048\n',
  };
  const handles: string[] = [];
  const answers: Record<string, unknown> = {
    'guest-info': { version: '7.2', supported_commands: ['guest-file-open', 'guest-set-vcpus'].map((name) => ({ name, enabled: true })) },
    'guest-get-osinfo': { id: 'debian', 'version-id': '12', 'kernel-release': '6.1' },
    'guest-get-vcpus': [
      { 'logical-id': 0, online: true },
      { 'logical-id': 1, online: false, 'can-offline': true },
    ],
    'guest-get-memory-blocks': [
      { 'phys-index': 0, online: true },
      { 'phys-index': 1, online: false },
    ],
    'guest-get-memory-block-info': { size: 128 << 20 },
    'guest-get-disks': [
      { name: '/dev/vda', partition: false },
      { name: '/dev/vda1', partition: true },
    ],
    'guest-get-fsinfo': [{ name: 'vda', mountpoint: '/data', type: 'ext4', 'total-bytes': 1000, disk: [{ dev: '/dev/vda' }] }],
    'guest-network-get-interfaces': [
      { name: 'lo', 'hardware-address': '00:00:00:00:00:00' },
      { name: 'eth0', 'hardware-address': '52:54:00:00:00:01' },
    ],
    'guest-file-close': {},
  };
  const { client } = new Peer((command, args) => {
    if (command === 'guest-file-open')
      return files[args['path'] as string] === undefined
        ? { error: { desc: 'no such file' } }
        : ok(handles.push(args['path'] as string) - 1);
    if (command === 'guest-file-read')
      return ok({ 'buf-b64': Buffer.from(files[handles[args['handle'] as number]!]!).toString('base64'), eof: true });
    return ok(answers[command]);
  });
  const c = await qgaCharacterise(client, 'vm-1', new Date('2026-01-01T00:00:00Z'));
  expect(c).toMatchObject({ source: 'qemu-ga', at: '2026-01-01T00:00:00.000Z' });
  expect(c.facts).toEqual({
    bootId: '11111111-2222-3333-4444-555555555555',
    uptimeSeconds: 12.5,
    os: { id: 'debian', version: '12', kernel: '6.1' },
    vcpus: 1,
    memoryMiB: 128,
    disks: [{ name: 'vda', serial: 'data', bytes: 1_048_576 }],
    fileSystems: [{ mount: '/data', disk: 'data', type: 'ext4', bytes: 1000 }],
    nics: ['52:54:00:00:00:01'],
  });
  const state = Object.fromEntries(c.capabilities.map((x) => [x.name, x.state]));
  expect(state).toMatchObject({ 'cpu-hotplug': 'present', 'memory-hotplug': 'absent', 'run-script': 'absent', 'disk-rescan': 'unknown' });
});
