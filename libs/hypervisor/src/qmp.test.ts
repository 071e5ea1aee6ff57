import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { QmpClient } from './qmp.ts';

type Request = { execute: string; arguments: Record<string, unknown>; id: number };
const GREETING = { QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: 'Debian' }, capabilities: [] } };
const event = (name: string, data: object, seconds = 1, microseconds = 5) => ({ event: name, data, timestamp: { seconds, microseconds } });

describe('QMP client', () => {
  let dir: string;
  let path: string;
  let server: Server;
  let client: QmpClient | undefined;
  let peer: Socket;
  const say = (...messages: unknown[]): void => void peer.write(messages.map((m) => `${JSON.stringify(m)}\r\n`).join(''));

  /** A monitor that greets, leaves negotiation, and answers the rest as told. */
  const monitor = (answer: (request: Request) => void, greeting: unknown = GREETING): Promise<void> => {
    server = createServer((socket) => {
      peer = socket;
      if (greeting) say(greeting);
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        for (const line of chunk.toString().trim().split('\n')) {
          const request = JSON.parse(line) as Request;
          if (request.execute === 'qmp_capabilities') say({ return: {}, id: request.id });
          else answer(request);
        }
      });
    });
    return new Promise((resolve) => server.listen(path, resolve));
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'chy-qmp-'));
    path = join(dir, 'qmp.sock');
  });
  afterEach(() => {
    client?.close();
    peer?.destroy();
    server?.close();
    rmSync(dir, { recursive: true });
  });

  test('waits for a socket that is not there yet, and reads the greeting', async () => {
    const connecting = QmpClient.connect(path, { timeoutMs: 2_000 });
    await new Promise((resolve) => setTimeout(resolve, 30));
    await monitor(() => undefined);
    client = await connecting;
    expect(client.greeting).toEqual({ qemu: '7.2.22', package: 'Debian' });
  });

  test('gives up at once when the process behind the socket is gone', async () => {
    await expect(QmpClient.connect(path, { timeoutMs: 5_000, alive: () => false })).rejects.toMatchObject({
      code: 'hypervisor.qmp_closed',
    });
  });

  test('a monitor that another client holds does not greet: said by the deadline', async () => {
    await monitor(() => undefined, null);
    await expect(QmpClient.connect(path, { timeoutMs: 60 })).rejects.toMatchObject({ code: 'hypervisor.qmp_timeout' });
  });

  test('answers are matched by id, in whatever order they come and between events', async () => {
    const asked: Request[] = [];
    await monitor((request) => {
      asked.push(request);
      if (asked.length < 2) return;
      say(event('NOISE', {}), { return: asked[1]!.execute, id: asked[1]!.id }, { return: asked[0]!.execute, id: asked[0]!.id });
    });
    client = await QmpClient.connect(path);
    expect(await Promise.all([client.execute('first'), client.execute('second')])).toEqual(['first', 'second']);
  });

  test('a refusal has the class and the words of QEMU', async () => {
    await monitor((request) => say({ error: { class: 'DeviceNotFound', desc: 'no such device' }, id: request.id }));
    client = await QmpClient.connect(path);
    await expect(client.execute('device_del', { id: 'x' })).rejects.toMatchObject({
      code: 'hypervisor.qmp_refused',
      detail: { command: 'device_del', class: 'DeviceNotFound', desc: 'no such device' },
    });
  });

  test('a command without an answer ends by its deadline, and a late answer harms nothing', async () => {
    const asked: Request[] = [];
    await monitor((request) => (asked.push(request), request.execute === 'slow' ? undefined : say({ return: 1, id: request.id })));
    client = await QmpClient.connect(path);
    await expect(client.execute('slow', {}, 30)).rejects.toMatchObject({ code: 'hypervisor.qmp_timeout' });
    await until(async () => asked.length > 0); // on a busy machine its time is over before it is read
    say({ return: 'too late', id: asked[0]!.id });
    expect(await client.execute('next')).toBe(1);
  });

  test('an event that comes before the answer of the command that made it is not missed', async () => {
    await monitor((request) => say(event('MIGRATION', { status: 'completed' }, 1_700_000_000, 123_456), { return: {}, id: request.id }));
    client = await QmpClient.connect(path);
    const waiting = client.waitFor('MIGRATION', (e) => e.data['status'] === 'completed', 1_000);
    await client.execute('migrate');
    expect((await waiting.promise).atUs).toBe(1_700_000_000_123_456);
  });

  test('a wait ends by its deadline, and when QEMU goes', async () => {
    await monitor(() => undefined);
    client = await QmpClient.connect(path);
    await expect(client.waitFor('STOP', () => true, 20).promise).rejects.toMatchObject({ code: 'hypervisor.qmp_timeout' });
    const waiting = client.waitFor('STOP', () => true, 5_000);
    const command = client.execute('query-status');
    peer.destroy();
    await expect(waiting.promise).rejects.toMatchObject({ code: 'hypervisor.qmp_closed' });
    await expect(command).rejects.toMatchObject({ code: 'hypervisor.qmp_closed' });
    await client.closed;
    await expect(client.execute('query-status')).rejects.toMatchObject({ code: 'hypervisor.qmp_closed' });
  });

  test('what is no JSON, and a message without end, close the connection', async () => {
    await monitor(() => void peer.write('{"return": nonsense}\n'));
    client = await QmpClient.connect(path);
    await expect(client.execute('anything')).rejects.toMatchObject({ code: 'hypervisor.qmp_protocol' });
    server.close();
    rmSync(path, { force: true });
    await monitor(() => void peer.write(Buffer.alloc(9 * 1024 * 1024, 'x')));
    client = await QmpClient.connect(path);
    await expect(client.execute('anything')).rejects.toMatchObject({ code: 'hypervisor.qmp_protocol' });
  });

  test('characters that are cut in two by the socket are whole again', async () => {
    await monitor((request) => {
      const bytes = Buffer.from(`${JSON.stringify({ return: 'größe ✓', id: request.id })}\n`);
      const cut = bytes.indexOf(0xc3) + 1;
      peer.write(bytes.subarray(0, cut));
      setTimeout(() => peer.write(bytes.subarray(cut)), 10);
    });
    client = await QmpClient.connect(path);
    expect(await client.execute('x')).toBe('größe ✓');
  });
});
