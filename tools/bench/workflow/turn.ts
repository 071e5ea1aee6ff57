import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { Latencies } from '../open-loop.ts';

export const steps = 5;

/** Flows are begun for `ms`, `inFlight` at a time, and those under way are waited for: all that are counted are complete. */
export type Ask = { readonly inFlight: number; readonly ms: number };
export type Turn = { readonly flows: number; readonly ms: number; readonly p50: number; readonly p99: number; readonly cpuSeconds: number };

/** What each contender is to its own process: `flow` runs one workflow of five steps to its end. */
export type Contender = { readonly version: string; readonly flow: () => Promise<void>; readonly close: () => Promise<void> };

const take = async ({ flow }: Contender, { inFlight, ms }: Ask): Promise<Turn> => {
  const latencies = new Latencies();
  const cpu = process.cpuUsage();
  const began = performance.now();
  let flows = 0;
  const one = async (): Promise<void> => {
    while (performance.now() - began < ms) {
      const at = performance.now();
      await flow();
      latencies.record(performance.now() - at);
      flows++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const elapsed = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  const { median: p50, p99 } = latencies.summary();
  return { flows, ms: elapsed, p50, p99, cpuSeconds: (user + system) / 1e6 };
};

/** The contender's side: says that it is ready, then takes the turns it is asked for, until the other side is gone. */
export const serve = async (open: (config: Record<string, string>) => Promise<Contender>): Promise<void> => {
  const contender = await open(JSON.parse(process.env['BENCH_CONFIG']!) as Record<string, string>);
  process.on('disconnect', () => process.exit());
  process.on('message', (ask: Ask | 'close') => {
    if (ask !== 'close') return void take(contender, ask).then((turn) => process.send!(turn));
    void contender.close().finally(() => process.exit());
  });
  process.send!(contender.version);
};

export type Peer = {
  readonly version: string;
  readonly pid: number;
  /** Without an answer where the process is killed meanwhile. */
  readonly turn: (ask: Ask) => Promise<Turn>;
  readonly kill: () => void;
  readonly close: () => Promise<void>;
};

/** The other side: a contender in a process of its own, which ends with this one. */
export const start = async (name: string, config: Record<string, string>): Promise<Peer> => {
  const child = fork(path.join(import.meta.dirname, `${name}.ts`), {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', path.resolve(import.meta.dirname, '../../node/register.mjs')],
    env: { ...process.env, BENCH_CONFIG: JSON.stringify(config) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const version = (await answer(child, exited)) as string;
  return {
    version,
    pid: child.pid!,
    turn: async (ask) => {
      child.send(ask);
      return (await answer(child, exited)) as Turn;
    },
    kill: () => void child.kill('SIGKILL'),
    close: async () => {
      if (child.connected) child.send('close');
      await exited;
    },
  };
};

const answer = (child: ChildProcess, exited: Promise<void>): Promise<unknown> =>
  new Promise((resolve, reject) => {
    child.once('message', resolve);
    void exited.then(() => reject(new Error(`${child.spawnfile} ended in mid-turn`)));
  });
