import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GuestError, type GuestOutput } from '@chrysalis/contracts';
import { childProcess } from '../guest/child-process.ts';
import type { Guest } from '../guest/guest.ts';
import { killQuietly, makeScriptGroup, type ScriptGroup } from './cgroup.ts';

export type ScriptRequest = Readonly<{
  script: string;
  timeoutMs: number;
  maxOutputBytes: number;
  runAs: 'root' | 'nobody';
}>;
type Result = GuestOutput<'run-script'>;
const NOBODY = 65_534;
const PROGRESS_MS = 1_000;
const MARK = 'CHRYSALIS_SCRIPT';

/**
 * Waits for a line before it begins: by then it is in its control group. No core files, 256 open files, 1 GiB a file,
 * CPU seconds by the time limit, first in line when memory ends. `ulimit -u` does not bind root; the control group does.
 */
const wrapper = (cpuSeconds: number): string => `
read -r go || exit 125
ulimit -c 0; ulimit -n 256; ulimit -f 2097152; ulimit -t ${cpuSeconds}; ulimit -u 512 2>/dev/null
{ echo 1000 > /proc/self/oom_score_adj; } 2>/dev/null
exec /bin/sh "$1" < /dev/null`;

export type ScriptContext = Readonly<{ signal: AbortSignal; progress?: (note: string) => void; env?: Readonly<Record<string, string>> }>;

/** Runs in a session and control group of its own; when it ends, for whatever reason, everything it started ends with it. */
export const runScript = async (guest: Guest, request: ScriptRequest, context: ScriptContext): Promise<Result> => {
  const id = randomUUID();
  const dir = await mkdtemp(join(tmpdir(), 'chrysalis-script-'));
  const group = await makeScriptGroup(guest, id);
  try {
    await chmod(dir, 0o755);
    await writeFile(join(dir, 'script'), request.script, { mode: 0o644 });
    return await supervise(guest, request, { id, file: join(dir, 'script'), group, ...context });
  } finally {
    await group?.remove();
    await rm(dir, { recursive: true, force: true });
  }
};

type Run = ScriptContext & Readonly<{ id: string; file: string; group: ScriptGroup | undefined }>;

const supervise = async (guest: Guest, request: ScriptRequest, run: Run): Promise<Result> => {
  const started = performance.now();
  const identity = request.runAs === 'nobody' ? { uid: NOBODY, gid: NOBODY } : {};
  const child = childProcess().spawn('/bin/sh', ['-c', wrapper(Math.ceil(request.timeoutMs / 1000) + 1), 'sh', run.file], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/', LANG: 'C', ...run.env, [MARK]: run.id },
    ...identity,
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null } | Error>((resolve) => {
    child.once('error', resolve);
    child.once('exit', (code, sig) => resolve({ code, signal: sig }));
  });
  const output = collect(child, request.maxOutputBytes);
  child.stdin!.on('error', () => undefined);
  if (child.pid !== undefined) await run.group?.add(child.pid);
  child.stdin!.end('go\n');

  const beat = setInterval(() => run.progress?.(`running for ${Math.round(performance.now() - started)} ms`), PROGRESS_MS);
  const stopped = await untilEnd(ended, request.timeoutMs, run.signal);
  clearInterval(beat);
  await killTree(guest, child, run);
  const end = await ended;
  await output.closed(500);
  const ms = Math.round(performance.now() - started);
  if (end instanceof Error) throw new GuestError('guest.script_not_started', end.message);
  if (stopped === 'cancelled') throw new GuestError('guest.cancelled', `the script was cancelled after ${ms} ms`, output.text());
  if (stopped === 'timeout')
    throw new GuestError(
      'guest.script_timeout',
      `the script did not end in ${request.timeoutMs} ms and was killed with its children`,
      output.text(),
    );
  return { exitCode: end.code ?? 128 + signalNumber(end.signal), ...output.text(), ms };
};

const signalNumber = (s: NodeJS.Signals | null): number =>
  ({ SIGKILL: 9, SIGTERM: 15, SIGXCPU: 24, SIGXFSZ: 25, SIGSEGV: 11, SIGABRT: 6 })[s as string] ?? 1;

const untilEnd = async (ended: Promise<unknown>, timeoutMs: number, signal: AbortSignal): Promise<'ended' | 'timeout' | 'cancelled'> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'timeout'>((r) => (timer = setTimeout(() => r('timeout'), timeoutMs)));
  let abort: () => void = () => undefined;
  const cancelled = new Promise<'cancelled'>((r) => {
    abort = () => r('cancelled');
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([ended.then(() => 'ended' as const), late, cancelled]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
};

/** Keeps the beginning of both streams, `limit` bytes together, and reads on: a full pipe would change what the script does. */
const collect = (
  child: ChildProcess,
  limit: number,
): { text: () => Pick<Result, 'stdout' | 'stderr' | 'truncated'>; closed: (ms: number) => Promise<void> } => {
  const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let room = limit;
  let truncated = false;
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.on('error', () => undefined);
    child[name]!.on('data', (chunk: Buffer) => {
      if (chunk.length > room) truncated = true;
      if (room > 0) kept[name].push(chunk.subarray(0, room));
      room -= Math.min(room, chunk.length);
    });
  }
  const closed = new Promise<void>((r) => child.once('close', () => r()));
  const text = (chunks: Buffer[]): string => Buffer.concat(chunks).toString('utf8').slice(0, limit);
  return {
    text: () => ({ stdout: text(kept.stdout), stderr: text(kept.stderr), truncated }),
    closed: async (ms) => {
      await Promise.race([closed, new Promise<void>((r) => setTimeout(r, ms).unref())]);
      for (const s of [child.stdout, child.stderr]) s?.destroy();
    },
  };
};

/** The control group if there is one. Without: its process group, and every process that carries the mark in its environment. */
const killTree = async (guest: Guest, child: ChildProcess, run: Run): Promise<void> => {
  await run.group?.kill();
  if (child.pid === undefined) return;
  killQuietly(-child.pid);
  if (run.group) return;
  // Stop first and kill then: a process that forks while we read the list is found in the next round.
  const stopped = new Set<number>();
  for (let round = 0; round < 50; round++) {
    const found = (await marked(guest, run.id)).filter((pid) => !stopped.has(pid));
    if (found.length === 0) break;
    for (const pid of found) {
      killQuietly(pid, 'SIGSTOP');
      stopped.add(pid);
    }
  }
  for (const pid of stopped) killQuietly(pid);
};

const marked = async (guest: Guest, id: string): Promise<number[]> => {
  const pids = (await readdir(guest.path('proc')).catch(() => [])).filter((n) => /^\d+$/.test(n));
  const has = await Promise.all(
    pids.map((pid) =>
      readFile(guest.path(`proc/${pid}/environ`)).then(
        (env) => env.includes(`${MARK}=${id}`),
        () => false,
      ),
    ),
  );
  return pids.filter((_, i) => has[i]).map(Number);
};
