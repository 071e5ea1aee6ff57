import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';

const root = path.resolve(import.meta.dirname, '../..');
const API_MS = 5_000;
const MEMORY_MIB = 700;
const DEMO_MS = 60_000;

/** From nothing to an API that says it is ready; what the whole control plane with PostgreSQL takes then; and a demo on a machine that has all its parts. */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  const api: number[] = [];
  const memory: number[] = [];
  const demo: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const { ms, mib } = await startOnce();
    api.push(ms);
    memory.push(mib);
    progress(`round ${round}: API after ${Math.round(ms)} ms, ${Math.round(mib)} MiB`);
    demo.push(await demoOnce());
    progress(`round ${round}: demo ${(demo.at(-1)! / 1000).toFixed(1)} s`);
  }
  return report(
    'start',
    rounds,
    {},
    [
      contender('API ready, embedded', version, 'ms', api),
      contender('memory (PSS), control plane and PostgreSQL', version, 'MiB', memory),
      contender('npm run demo, parts present', version, 'ms', demo),
    ],
    [
      target('API ready, ms', median(api), '<=', API_MS),
      target('memory, MiB', median(memory), '<=', MEMORY_MIB),
      target('demo, ms', median(demo), '<=', DEMO_MS),
    ],
  );
};
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };

/** The clock starts with the process: Node, loading, initdb, tables and consumers are all in it. */
const startOnce = async (): Promise<{ ms: number; mib: number }> => {
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--import',
      path.join(root, 'tools/node/register.mjs'),
      path.join(root, 'tools/up/main.ts'),
      '--no-hosts',
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, CHRYSALIS_LOG: 'error' } },
  );
  try {
    const line = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', resolve);
      child.once('exit', (code) => reject(new Error(`the control plane ended with ${code}`)));
    });
    const { server } = JSON.parse(line) as { server: string };
    while (!(await fetch(`${server}/health/ready`)).ok) await sleep(5);
    const ms = performance.now() - startedAt;
    await sleep(1000);
    return { ms, mib: treeOf(child.pid!).reduce((sum, pid) => sum + pssMiB(pid), 0) };
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }
};

const demoOnce = async (): Promise<number> => {
  const startedAt = performance.now();
  const child = spawn('npm', ['run', '--silent', 'demo', '--', '--json', '--driver', 'qemu'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`the demo ended with ${String(code)}`);
  return performance.now() - startedAt;
};

/** A process and all below it. */
const treeOf = (pid: number): number[] => {
  const children = (() => {
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  })();
  return [pid, ...children.flatMap(treeOf)];
};
/** Proportional: PostgreSQL's shared buffers count once, not once a backend. */
const pssMiB = (pid: number): number => {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
};
