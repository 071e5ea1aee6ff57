import { createConnection, createServer } from 'node:net';
import { HypervisorError } from '../errors.ts';
import type { GuestState } from './state.ts';

/** What goes over when a simulated VM moves. The target compares the hardware, as QEMU does (in part) when it loads its devices. */
export type Stream = {
  readonly vmId: string;
  readonly topologyHash: string;
  readonly guest: GuestState;
  /** Volumes whose content came before. */ readonly copied?: readonly string[];
  /** Of a post-copy: it follows, and then it is all there. */ readonly rest?: 'follows' | 'there';
};
export type Receiver = (stream: Stream) => Promise<void>;
export type Door = { readonly address: string; close(): void };

/** How two simulated hosts reach each other. */
export interface Link {
  listen(host: string, receive: Receiver): Promise<Door>;
  /** Rejects when nobody is there, or when the other end did not take the stream. */
  reachable(address: string): Promise<void>;
  send(address: string, stream: Stream): Promise<void>;
}

const dead = (address: string, why = 'Connection refused'): HypervisorError =>
  new HypervisorError('hypervisor.migration_failed', `Nothing takes a stream at ${address}: ${why}`, { address });

/** In one process. */
export class MemoryLink implements Link {
  private readonly doors = new Map<string, Receiver>();
  private next = 1;

  async listen(host: string, receive: Receiver): Promise<Door> {
    const address = `sim:${host}:${this.next++}`;
    this.doors.set(address, receive);
    return { address, close: () => void this.doors.delete(address) };
  }
  async reachable(address: string): Promise<void> {
    if (!this.doors.has(address)) throw dead(address);
  }
  async send(address: string, stream: Stream): Promise<void> {
    const receive = this.doors.get(address);
    if (!receive) throw dead(address);
    await receive(structuredClone(stream));
  }
}

const MAX_STREAM = 65_536;

/** Between processes: one line of JSON over TCP, one line back. */
export class TcpLink implements Link {
  async listen(host: string, receive: Receiver): Promise<Door> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let text = '';
      socket.setTimeout(10_000, () => socket.destroy());
      socket.on('error', () => undefined);
      // A look whether someone is here: it says nothing and ends.
      socket.on('end', () => void (text === '' && socket.end()));
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
        if (text.length > MAX_STREAM) socket.destroy();
        if (!text.endsWith('\n')) return;
        Promise.resolve()
          .then(() => receive(JSON.parse(text) as Stream))
          .then(
            () => socket.end('ok\n'),
            (error: unknown) => socket.end(`${String(error)}\n`),
          );
      });
    });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
    server.unref();
    const { port } = server.address() as { port: number };
    return { address: `tcp:${host}:${port}`, close: () => server.close() };
  }

  async reachable(address: string): Promise<void> {
    await this.exchange(address, undefined);
  }

  async send(address: string, stream: Stream): Promise<void> {
    const answer = await this.exchange(address, `${JSON.stringify(stream)}\n`);
    if (answer.trim() !== 'ok') throw dead(address, answer.trim() || 'no answer');
  }

  private exchange(address: string, line: string | undefined): Promise<string> {
    const m = /^tcp:(.+):([0-9]+)$/.exec(address);
    if (!m) return Promise.reject(dead(address, 'not an address'));
    return new Promise((resolve, reject) => {
      const socket = createConnection({ host: m[1]!, port: Number(m[2]) });
      let answer = '';
      socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
      socket.once('error', (error) => reject(dead(address, error.message)));
      socket.once('connect', () => (line === undefined ? socket.end() : socket.write(line)));
      socket.on('data', (chunk: Buffer) => (answer = (answer + chunk.toString('utf8')).slice(0, 4096)));
      socket.once('close', () => resolve(answer));
    });
  }
}
