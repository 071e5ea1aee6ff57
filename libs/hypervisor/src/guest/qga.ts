import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { QgaConnection, QgaError } from './qga-connection.ts';

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
/** A client of the guest's own agent (qemu-ga): what it can be asked, with what may come back. */
export class QgaClient extends QgaConnection {
  private enabled: ReadonlySet<string> | undefined;

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

  /** Has the guest shut down or restart. It says nothing when it does: what comes of it is seen from outside. */
  async shutdown(mode: 'powerdown' | 'reboot'): Promise<void> {
    await this.require('guest-shutdown');
    await this.call('guest-shutdown', z.unknown(), { mode }, 1_000).catch((error: unknown) => {
      if (!(error instanceof QgaError) || error.code === 'qga.refused') throw error;
    });
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
      if (this.isClosed) break;
      await sleep(100);
    }
    throw new QgaError('qga.refused', `${frozen} file systems were frozen and the thaw was not confirmed`);
  }
}
