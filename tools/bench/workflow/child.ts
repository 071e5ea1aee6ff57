import { fork } from 'node:child_process';
import path from 'node:path';

export type Child = {
  /** What it said when it was ready. */
  readonly ready: unknown;
  readonly pid: number;
  /** One question at a time. Rejects where the process ends without an answer. */
  readonly ask: <A>(question: unknown) => Promise<A>;
  /** kill -9; resolves when it is gone. */
  readonly kill: () => Promise<void>;
  /** Asks it to end in order, and waits until it has. */
  readonly close: () => Promise<void>;
};

/** A file of this folder in a process of its own, which ends with this one. Its settings come in BENCH_CONFIG. */
export const startChild = async (name: string, config: Record<string, string>): Promise<Child> => {
  const child = fork(path.join(import.meta.dirname, `${name}.ts`), {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', path.resolve(import.meta.dirname, '../../node/register.mjs')],
    env: { ...process.env, BENCH_CONFIG: JSON.stringify(config) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const answer = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      child.once('message', resolve);
      void exited.then(() => reject(new Error(`the process of ${name} ended without an answer`)));
    });
  return {
    ready: await answer(),
    pid: child.pid!,
    ask: <A>(question: unknown) => {
      child.send(question as object);
      return answer() as Promise<A>;
    },
    kill: () => {
      child.kill('SIGKILL');
      return exited;
    },
    close: async () => {
      if (child.connected) child.send('close');
      await exited;
    },
  };
};

export type Served = {
  readonly ready: unknown;
  readonly answer: (question: never) => Promise<unknown>;
  readonly close: () => Promise<void>;
};

/** The other side: says that it is ready, then answers, until it is to end or the one who asks is gone. What fails ends the process. */
export const serveAsChild = async (open: (config: Record<string, string>) => Promise<Served>): Promise<void> => {
  const failed = (error: unknown): void => {
    console.error(error);
    process.exit(1);
  };
  const { ready, answer, close } = await open(JSON.parse(process.env['BENCH_CONFIG']!) as Record<string, string>);
  process.on('disconnect', () => process.exit());
  process.on('message', (question) => {
    if (question === 'close') void close().finally(() => process.exit());
    else answer(question as never).then((result) => process.send!(result), failed);
  });
  process.send!(ready);
};
