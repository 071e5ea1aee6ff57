import { randomUUID } from 'node:crypto';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestError } from '@chrysalis/contracts';
import { AgentChannel } from '@chrysalis/hypervisor';
import type { Grant } from '../grant.ts';
import { AgentServer, type Handlers } from '../channel/server.ts';

const actions: Grant['claims']['actions'] = ['add-agent', 'characterise', 'reconfigure', 'run-script'];
const grant = (allowed = actions): Grant => ({
  claims: { jti: 'g', iss: 'acme', iat: 0, exp: 4e9, vms: ['vm-1'], packages: [], uses: 1, actions: allowed },
});
export const facts = {
  bootId: randomUUID(),
  uptimeSeconds: 1,
  os: { id: 'x', version: '1', kernel: '6' },
  vcpus: 1,
  memoryMiB: 1,
  disks: [],
  fileSystems: [],
  nics: [],
};

/** A real agent server and a line to it as virtio-serial is: with no host connected, what the guest writes is gone. */
export class Guest {
  executed: string[] = [];
  ended = false;
  private host: Duplex | undefined;
  server = this.start();
  private readonly ticking = setInterval(() => this.server.tick(), 20);
  private readonly chance: () => number;
  private readonly loss: number;
  private readonly allowed: typeof actions;
  constructor(o: { chance?: () => number; loss?: number; allowed?: typeof actions } = {}) {
    this.chance = o.chance ?? ((): number => 1);
    this.loss = o.loss ?? 0;
    this.allowed = o.allowed ?? actions;
  }

  private start(): AgentServer {
    const record =
      (name: string, ms = 0) =>
      async (input: { vcpus?: number; memoryMiB?: number; script?: string }): Promise<Record<string, unknown>> => {
        this.executed.push(`${name} ${input.vcpus ?? input.memoryMiB ?? input.script ?? ''}`);
        await sleep(ms);
        return {
          online: input.vcpus ?? 0,
          onlineMiB: input.memoryMiB ?? 0,
          exitCode: 0,
          stdout: '',
          stderr: '',
          truncated: false,
          ms: 1,
          facts,
        };
      };
    const never = (): Promise<never> => Promise.reject(new Error('no'));
    const handlers: Handlers = {
      characterise: never,
      facts: record('facts'),
      verify: never,
      'online-cpus': record('cpus', 1),
      'offline-cpus': record('offline'),
      'online-memory': record('memory'),
      'grow-filesystem': async () => ({ beforeBytes: 'many' }),
      'run-script': record('script', 150),
      shutdown: async () => ({}),
    };
    return new AgentServer({
      identity: { version: '1', instance: randomUUID(), package: `sha256:${'0'.repeat(64)}` },
      handlers,
      verify: async (jws) => {
        if (jws !== 'good') throw new GuestError('grant.signature_invalid', 'the signature does not hold');
        return grant(this.allowed);
      },
      write: (frame) => void this.toHost(frame),
      ended: () => (this.ended = true),
      clock: { monotonicMs: () => performance.now(), epochMs: () => Date.now() },
    });
  }

  restart(): void {
    this.server = this.start();
  }
  private toHost(bytes: Buffer): void {
    if (!this.host || this.host.destroyed) return;
    if (this.chance() < this.loss) this.cut(bytes);
    else this.host.push(bytes);
  }
  /** The line is lost in the middle of a frame, or a piece of it is damaged. */
  private cut(bytes: Buffer): void {
    const half = bytes.subarray(0, Math.floor(this.chance() * bytes.length));
    if (half.length > 0) this.host!.push(half);
    if (this.chance() < 0.5) this.host!.destroy();
  }
  connect = async (): Promise<Duplex> => {
    this.host?.destroy();
    const host: Duplex = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _, done) => {
        const lost = this.chance() < this.loss;
        if (!lost && this.host === host) setImmediate(() => this.server.receive(chunk));
        if (lost && this.chance() < 0.5) host.destroy();
        done();
      },
    });
    host.on('error', () => undefined);
    this.host = host;
    return host;
  };
  hang(): void {
    this.host?.destroy();
  }
  end(): void {
    clearInterval(this.ticking);
    this.host?.destroy();
  }
}

const open: { end?: () => void; close?: () => void }[] = [];
/** Ends what `guestWith` and `channelTo` made: for `afterEach`. */
export const closeAll = (): void => {
  for (const o of open.splice(0)) {
    o.end?.();
    o.close?.();
  }
};
export const guestWith = (o?: ConstructorParameters<typeof Guest>[0]): Guest => {
  const guest = new Guest(o);
  open.push(guest);
  return guest;
};
export const channelTo = async (guest: Guest, over: Partial<Parameters<typeof AgentChannel.open>[0]> = {}): Promise<AgentChannel> => {
  const channel = await AgentChannel.open({ connect: guest.connect, vmId: 'vm-1', grant: 'good', timeoutMs: 5_000, ...over });
  open.push(channel);
  return channel;
};
/** Long enough for whatever a machine does besides. */
export const within = { timeoutMs: 10_000 };
