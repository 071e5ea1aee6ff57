import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

export type QgaCode = 'qga.unreachable' | 'qga.timeout' | 'qga.refused' | 'qga.disabled' | 'qga.nonsense' | 'qga.exec_failed';
/**
 * qga.unreachable: no connection · qga.timeout: no answer in time · qga.refused: the guest's agent says no · qga.disabled: it does not
 * offer the command · qga.nonsense: what came fits no schema · qga.exec_failed: a program in the guest ended with another code than 0.
 */
export class QgaError extends Error {
  override readonly name = 'QgaError';
  readonly code: QgaCode;
  readonly detail: unknown;
  constructor(code: QgaCode, message: string, detail?: unknown) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

/** Whatever comes from a guest is bounded: `guest-exec-status` of 1 MiB of output is the longest answer we wait for. */
const MAX_ANSWER_BYTES = 4 << 20;
const Answer = z.object({ return: z.unknown().optional(), error: z.object({ class: z.string().optional(), desc: z.string() }).optional() });

const Info = z.object({
  version: z.string().max(64),
  supported_commands: z.array(z.object({ name: z.string().max(64), enabled: z.boolean() })).max(512),
});
const Vcpu = z.object({ 'logical-id': z.int().nonnegative(), online: z.boolean(), 'can-offline': z.boolean().optional() });
const MemoryBlock = z.object({ 'phys-index': z.int().nonnegative(), online: z.boolean(), 'can-offline': z.boolean().optional() });
const FileSystem = z.object({
  name: z.string().max(255),
  mountpoint: z.string().max(1024),
  type: z.string().max(64),
  'total-bytes': z.number().optional(),
  'used-bytes': z.number().optional(),
  disk: z.array(z.object({ serial: z.string().max(128).optional(), dev: z.string().max(255).optional() })).max(64),
});
const Nic = z.object({
  name: z.string().max(64),
  'hardware-address': z.string().max(64).optional(),
  'ip-addresses': z
    .array(z.object({ 'ip-address': z.string().max(64), prefix: z.int(), 'ip-address-type': z.string().max(8) }))
    .max(256)
    .optional(),
});
const OsInfo = z.object({
  id: z.string().max(64).optional(),
  'version-id': z.string().max(64).optional(),
  'kernel-release': z.string().max(128).optional(),
});
const Disk = z.object({
  name: z.string().max(255),
  partition: z.boolean(),
  address: z.object({ serial: z.string().max(128).optional() }).optional(),
});
const ExecStatus = z.object({
  exited: z.boolean(),
  exitcode: z.int().optional(),
  signal: z.int().optional(),
  'out-data': z.string().optional(),
  'err-data': z.string().optional(),
});

export type QgaVcpu = z.infer<typeof Vcpu>;
export type QgaMemoryBlock = z.infer<typeof MemoryBlock>;
export type ExecResult = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

/**
 * A client of the guest's own agent (qemu-ga). One request at a time, because its answers carry no id; after each (re)connection and
 * each answer that did not come in time `guest-sync-delimited` finds the beginning again.
 */
export class QgaClient {
  private buffer = Buffer.alloc(0);
  private wake: (() => void) | undefined;
  private gone = false;
  private synced = false;
  private tail: Promise<unknown> = Promise.resolve();
  private enabled: ReadonlySet<string> | undefined;
  private readonly stream: Duplex;

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      if (this.buffer.length > MAX_ANSWER_BYTES) this.stream.destroy();
      this.wake?.();
    });
    stream.on('error', () => undefined);
    stream.on('close', () => {
      this.gone = true;
      this.wake?.();
    });
  }

  close(): void {
    this.stream.destroy();
  }
  get isClosed(): boolean {
    return this.gone;
  }

  /** Retries the handshake until the guest's agent answers: it may not have started yet. */
  async sync(timeoutMs = 5_000): Promise<void> {
    await this.alone(() => this.handshake(performance.now() + timeoutMs));
  }

  /** Parsed by `schema`; anything else the guest says is `qga.nonsense`. */
  async call<S extends z.ZodType>(command: string, schema: S, args?: Record<string, unknown>, timeoutMs = 5_000): Promise<z.infer<S>> {
    return this.alone(async () => {
      const until = performance.now() + timeoutMs;
      if (!this.synced) await this.handshake(until);
      this.send({ execute: command, ...(args ? { arguments: args } : {}) });
      const answer = Answer.safeParse(await this.answer(until, command));
      if (!answer.success) return this.nonsense(command);
      const { error } = answer.data;
      if (error) throw new QgaError('qga.refused', `${command}: ${error.desc.slice(0, 512)}`, { class: error.class });
      const value = schema.safeParse(answer.data.return);
      return value.success ? value.data : this.nonsense(command);
    });
  }

  async ping(timeoutMs = 2_000): Promise<void> {
    await this.call('guest-ping', z.unknown(), undefined, timeoutMs);
  }
  info(): Promise<z.infer<typeof Info>> {
    return this.call('guest-info', Info);
  }
  /** Asked once: a command that is not offered, or switched off by the guest's administrator, is not tried. */
  async offers(command: string): Promise<boolean> {
    this.enabled ??= new Set((await this.info()).supported_commands.filter((c) => c.enabled).map((c) => c.name));
    return this.enabled.has(command);
  }
  private async require(command: string): Promise<void> {
    if (!(await this.offers(command))) throw new QgaError('qga.disabled', `the guest's agent does not offer ${command}`);
  }

  vcpus(): Promise<QgaVcpu[]> {
    return this.call('guest-get-vcpus', z.array(Vcpu).max(4096));
  }
  /** May succeed in part: the answer is how many were done, and is compared by us. */
  async setVcpus(vcpus: readonly { 'logical-id': number; online: boolean }[]): Promise<void> {
    if (vcpus.length === 0) return;
    const done = await this.call('guest-set-vcpus', z.int(), { vcpus }, 30_000);
    if (done !== vcpus.length) throw new QgaError('qga.refused', `guest-set-vcpus: ${done} of ${vcpus.length} were set`, { done });
  }
  memoryBlocks(): Promise<QgaMemoryBlock[]> {
    return this.call('guest-get-memory-blocks', z.array(MemoryBlock).max(65_536));
  }
  async memoryBlockBytes(): Promise<number> {
    return (await this.call('guest-get-memory-block-info', z.object({ size: z.int().positive() }))).size;
  }
  async setMemoryBlocks(blocks: readonly { 'phys-index': number; online: boolean }[]): Promise<void> {
    if (blocks.length === 0) return;
    const Response = z.array(z.object({ 'phys-index': z.int(), response: z.string().max(64) })).max(65_536);
    const answers = await this.call('guest-set-memory-blocks', Response, { 'mem-blks': blocks }, 30_000);
    const failed = answers.filter((a) => a.response !== 'success');
    if (failed.length > 0)
      throw new QgaError('qga.refused', `guest-set-memory-blocks: ${failed.length} of ${blocks.length} failed`, { failed });
  }
  fileSystems(): Promise<z.infer<typeof FileSystem>[]> {
    return this.call('guest-get-fsinfo', z.array(FileSystem).max(256));
  }
  network(): Promise<z.infer<typeof Nic>[]> {
    return this.call('guest-network-get-interfaces', z.array(Nic).max(256));
  }
  osInfo(): Promise<z.infer<typeof OsInfo>> {
    return this.call('guest-get-osinfo', OsInfo);
  }
  disks(): Promise<z.infer<typeof Disk>[]> {
    return this.call('guest-get-disks', z.array(Disk).max(256));
  }

  /** The first 64 KiB of a file in the guest. */
  async readFile(path: string): Promise<string> {
    await this.require('guest-file-open');
    const handle = await this.call('guest-file-open', z.int(), { path, mode: 'r' });
    try {
      const Read = z.object({ 'buf-b64': z.string(), eof: z.boolean() });
      const { 'buf-b64': data } = await this.call('guest-file-read', Read, { handle, count: 65_536 });
      return Buffer.from(data, 'base64').toString('utf8');
    } finally {
      await this.call('guest-file-close', z.unknown(), { handle }).catch(() => undefined);
    }
  }

  /** Starts a program and does not wait for it. */
  async start(path: string, args: readonly string[], capture = true): Promise<number> {
    await this.require('guest-exec');
    const { pid } = await this.call('guest-exec', z.object({ pid: z.int() }), { path, arg: args, 'capture-output': capture });
    return pid;
  }
  /** The end of a started program, or undefined while it runs. Can be asked for once: the guest's agent forgets it then. */
  async status(pid: number): Promise<ExecResult | undefined> {
    const s = await this.call('guest-exec-status', ExecStatus, { pid });
    if (!s.exited) return undefined;
    const text = (data: string | undefined): string =>
      Buffer.from(data ?? '', 'base64')
        .toString('utf8')
        .slice(0, 65_536);
    return { exitCode: s.exitcode ?? 128 + (s.signal ?? 0), stdout: text(s['out-data']), stderr: text(s['err-data']) };
  }
  /** Runs a program to its end. qemu-ga has no way to end it: at the deadline it runs on, and that is said. */
  async exec(path: string, args: readonly string[], deadlineMs = 10_000): Promise<ExecResult> {
    const until = performance.now() + deadlineMs;
    const pid = await this.start(path, args);
    for (let pause = 2; ; pause = Math.min(pause * 2, 50)) {
      const end = await this.status(pid);
      if (end) return end;
      if (performance.now() > until)
        throw new QgaError('qga.timeout', `${path} did not end in ${deadlineMs} ms and runs on as ${pid}`, { pid });
      await sleep(pause);
    }
  }
  /** A shell script that must end with 0. */
  async shell(script: string, deadlineMs = 10_000): Promise<string> {
    const end = await this.exec('/bin/sh', ['-c', script], deadlineMs);
    if (end.exitCode === 0) return end.stdout;
    throw new QgaError('qga.exec_failed', `exit code ${end.exitCode}: ${end.stderr.trim().slice(-512)}`, end);
  }

  /** The guest's file systems hold still while `work` runs, and are let go whatever happens; a thaw that fails is tried again. */
  async whileFrozen<T>(work: (frozen: number) => Promise<T>): Promise<T> {
    let frozen = 0;
    try {
      frozen = await this.call('guest-fsfreeze-freeze', z.int(), undefined, 30_000);
      return await work(frozen);
    } finally {
      await this.thaw(frozen);
    }
  }
  private async thaw(frozen: number): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt++) {
      const state = await this.call('guest-fsfreeze-thaw', z.int(), undefined, 10_000).then(
        () => this.call('guest-fsfreeze-status', z.string()),
        (e: unknown) => e,
      );
      if (state === 'thawed') return;
      if (this.gone) break;
      await sleep(100);
    }
    throw new QgaError('qga.refused', `${frozen} file systems were frozen and the thaw was not confirmed`);
  }

  private alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work, work);
    this.tail = result.catch(() => undefined);
    return result;
  }

  /** Older answers may still come: everything up to the last 0xFF goes, and so does what is not the answer to our number. */
  private async handshake(until: number): Promise<void> {
    while (!this.synced) {
      const id = Math.floor(Math.random() * 2 ** 31);
      this.buffer = Buffer.alloc(0);
      this.stream.write(
        Buffer.concat([Buffer.of(0xff), Buffer.from(`${JSON.stringify({ execute: 'guest-sync-delimited', arguments: { id } })}\n`)]),
      );
      this.synced = await this.ownNumber(id, Math.min(until, performance.now() + 500));
      if (!this.synced && performance.now() > until) throw new QgaError('qga.timeout', "the guest's agent does not answer");
    }
  }

  private async ownNumber(id: number, until: number): Promise<boolean> {
    for (;;) {
      const marked = this.buffer.lastIndexOf(0xff);
      if (marked > 0) this.buffer = this.buffer.subarray(marked);
      const line = marked >= 0 ? this.line() : undefined;
      if (line === undefined) {
        if (!(await this.more(until))) return false;
      } else if (parse(line.replace(/^\uFFFD+/, ''))?.['return'] === id) return true;
    }
  }

  private async answer(until: number, command: string): Promise<unknown> {
    for (;;) {
      const line = this.line();
      if (line !== undefined) return parse(line);
      if (await this.more(until)) continue;
      this.synced = false; // its answer may come later, in the place of another
      throw new QgaError('qga.timeout', `no answer to ${command}`);
    }
  }

  private line(): string | undefined {
    const end = this.buffer.indexOf(0x0a);
    if (end < 0) return undefined;
    const line = this.buffer.toString('utf8', 0, end);
    this.buffer = this.buffer.subarray(end + 1);
    return line;
  }

  private async more(until: number): Promise<boolean> {
    if (this.gone) throw new QgaError('qga.unreachable', "the connection to the guest's agent is closed");
    const left = until - performance.now();
    if (left <= 0) return false;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, left);
    });
    clearTimeout(timer);
    this.wake = undefined;
    return performance.now() < until || this.buffer.includes(0x0a);
  }

  private send(message: unknown): void {
    if (this.gone) throw new QgaError('qga.unreachable', "the connection to the guest's agent is closed");
    this.stream.write(`${JSON.stringify(message)}\n`);
  }

  private nonsense(command: string): never {
    this.synced = false;
    throw new QgaError('qga.nonsense', `what came for ${command} is not an answer to it`);
  }
}

const parse = (line: string): Record<string, unknown> | undefined => {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
};
