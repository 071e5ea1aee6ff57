import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, open, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { judgeDisk, type DiskVerdict } from '@chrysalis/service-kit/images';
import { TaskFailure } from '../execution/task-failure.ts';

const run = promisify(execFile);
const MIB = 1_048_576;
export type Format = 'raw' | 'qcow2';
export type MakeImage = {
  readonly to: string;
  readonly format: Format;
  readonly sizeMiB: number;
  /** Blank without. */
  readonly from?: { readonly file: string; readonly format: Format };
  /** It has all its room from the beginning on. */
  readonly full?: boolean;
  /** Both are read once more, to the last byte: what a disk or a cable made of it on the way is found before anybody has it. */
  readonly compared?: boolean;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
};
/** Makes `to`, which is not there; what it leaves behind on failure is the caller's to delete. */
export type ImageMaker = (make: MakeImage) => Promise<void>;

/** With qemu-img. Formats are named and never guessed: a guest that writes a header into a raw disk makes no other format of it. */
export const qemuImg: ImageMaker = async ({ to, format, sizeMiB, from, full, compared, signal, timeoutMs }) => {
  const img = (...args: string[]): Promise<string> => qemuImgTool(args, signal, timeoutMs);
  if (!from) return void (await img('create', '-q', '-f', format, to, `${sizeMiB}M`));
  const bytes = await virtualBytesOf(from.file, from.format);
  if (bytes > sizeMiB * MIB) throw tooSmall(sizeMiB, bytes);
  await img('convert', '-q', '-f', from.format, '-O', format, ...(full ? ['-o', 'preallocation=falloc'] : []), from.file, to);
  if (compared) await img('compare', '-q', '-f', from.format, '-F', format, from.file, to);
  await img('resize', '-q', '-f', format, ...(full ? ['--preallocation=falloc'] : []), to, `${sizeMiB}M`);
};

/** What a guest sees. A qcow2 is judged by its header before a program opens it, as that would open the files it names. */
export const virtualBytesOf = async (path: string, format: Format): Promise<number> => {
  const verdict = await judged(path, format).catch((error: unknown) => {
    throw new TaskFailure('host.image_failed', `the source is not read: ${String(error)}`);
  });
  if (verdict.is === 'usable') return verdict.virtualBytes;
  const code = verdict.is === 'unsafe' ? 'host.image_unsafe' : 'host.image_failed';
  throw new TaskFailure(code, `the source is not read: ${verdict.why}`);
};

const judged = async (path: string, format: Format): Promise<DiskVerdict> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return judgeDisk(file, format).finally(() => file.close());
};

/** That QEMU finds no fault in it, either: what a header cannot tell. */
export const qemuImgCheck = async (path: string, format: Format, signal: AbortSignal, timeoutMs: number): Promise<void> => {
  if (format === 'qcow2') await qemuImgTool(['check', '-q', '-f', format, path], signal, timeoutMs);
};

/** `timeout`: a host agent that is killed in here leaves it behind for so long and not for ever. */
const qemuImgTool = async (args: readonly string[], signal: AbortSignal, timeoutMs: number): Promise<string> => {
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1_000)));
  try {
    return (await run('timeout', ['-k', '5', seconds, 'qemu-img', ...args], { signal, maxBuffer: MIB })).stdout;
  } catch (error) {
    signal.throwIfAborted();
    const { code, stderr = '' } = error as { code?: number | string; stderr?: string };
    if (code === 127) throw new TaskFailure('host.tool_missing', 'no qemu-img on this host. Debian: apt-get install qemu-utils');
    if (code === 124 || code === 137)
      throw new TaskFailure('host.image_timeout', `qemu-img ${args[0]} took longer than ${seconds} s`, true);
    if (/No space left/.test(stderr)) throw new TaskFailure('hypervisor.pool_full', stderr.trim().slice(0, 2000));
    if (args[0] === 'compare' && code === 1) throw new TaskFailure('host.image_corrupt', 'the copy is not what it was made of', true);
    if (/lock/.test(stderr)) throw new TaskFailure('host.volume_busy', stderr.trim().slice(0, 2000), true);
    throw new TaskFailure('host.image_failed', `qemu-img ${args[0]}: ${stderr.trim() || String(error)}`.slice(0, 2000));
  }
};

/** For simulated hosts, which have no QEMU: raw files, which need no tool. */
export const plainFiles: ImageMaker = async ({ to, format, sizeMiB, from, signal }) => {
  if (format !== 'raw' || (from && from.format !== 'raw'))
    throw new TaskFailure('host.format_unsupported', 'a simulated host makes raw images only');
  const size = from ? (await stat(from.file)).size : 0;
  if (size > sizeMiB * MIB) throw tooSmall(sizeMiB, size);
  if (from) await copyFile(from.file, to, constants.COPYFILE_FICLONE);
  signal.throwIfAborted();
  const file = await open(to, from ? 'r+' : 'wx', 0o600);
  await file.truncate(sizeMiB * MIB).finally(() => file.close());
};

const tooSmall = (sizeMiB: number, bytes: number): TaskFailure =>
  new TaskFailure('host.image_too_small', `${sizeMiB} MiB cannot hold the ${bytes} bytes of the source`);
