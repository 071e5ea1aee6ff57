import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Starts a program that may not outlive us, whatever ends us, kill -9 too. A shell stands between: it holds the read end of a pipe
 * of which we alone have the other end. When we are gone the pipe closes, and the shell passes the signal on. No polling, no pid
 * files, and the program's own session keeps a Ctrl-C at the terminal from reaching it before we have shut down in order.
 */
export type Supervised = {
  readonly process: ChildProcess;
  /** The program's own pid. */
  readonly pid: number;
  readonly exited: Promise<number | null>;
  /** Asks it to end with the signal, and after `graceMs` with SIGKILL. Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
};

export type SuperviseOptions = {
  readonly command: string;
  readonly args: readonly string[];
  /** What ends the program in order: INT for PostgreSQL's fast shutdown, TERM for a JVM. */
  readonly signal: 'INT' | 'TERM';
  /** A folder that goes when the program has ended. */
  readonly remove?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  readonly onOutput?: (text: string) => void;
};

// A background job of sh starts with /dev/null as its input and ignores SIGINT; PostgreSQL sets its own handler, a JVM gets TERM.
const script = `
exec 3<&0
signal=$1; remove=$2; shift 2
"$@" </dev/null 3<&- &
program=$!
echo "$program" >&4
exec 4>&-
( read -r _ <&3; kill -s "$signal" "$program"; sleep 10; kill -s KILL "$program" ) >/dev/null 2>&1 &
watch=$!
wait "$program"; code=$?
if [ -n "$remove" ]; then cd / && rm -rf "$remove"; fi
kill -s KILL "$watch" 2>/dev/null
exit "$code"`;

export const supervise = async (o: SuperviseOptions): Promise<Supervised> => {
  const child = spawn('/bin/sh', ['-c', script, 'sh', o.signal, o.remove ?? '', o.command, ...o.args], {
    stdio: ['pipe', 'pipe', 'pipe', 'ignore', 'pipe'],
    detached: true,
    ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
    env: o.env ?? process.env,
    ...(o.uid === undefined ? {} : { uid: o.uid }),
    ...(o.gid === undefined ? {} : { gid: o.gid }),
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => o.onOutput?.(chunk.toString()));
  child.stdin?.on('error', () => undefined); // the program ended first
  const pid = await readPid(child);
  const stop = async (graceMs = 10_000): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.stdin?.end();
    const killer = setTimeout(() => signal(pid, 'SIGKILL'), graceMs);
    await exited;
    clearTimeout(killer);
  };
  return { process: child, pid, exited, stop };
};

/** Lets the event loop end although the program runs: it then ends with us. */
export const unref = ({ process: child }: Supervised): void => {
  child.unref();
  for (const stream of child.stdio) (stream as { unref?: () => void } | null)?.unref?.();
};

const readPid = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    child.stdio[4]!.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())));
    child.once('exit', (code) => reject(new Error(`the program ended at once (${code})`)));
  });

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name);
  } catch {
    // gone already
  }
};
