import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ensureAgentPackage } from '../../infra/guest/agent-package.ts';
import { ensureGuestImage } from '../../infra/guest/image.ts';
import { jars } from '../../infra/kafka/jars.ts';
import { prepareGraph } from '../lint/graph.ts';
import { chooseNetwork } from '../run/network.ts';
import { cacheDir } from '../run/platform.ts';
import { unlessInUserNamespace } from '../run/privileges.ts';
import { asTool, atEnd } from '../run/tool.ts';
import {
  countsOf,
  failedFiles,
  passedOnlyAlone,
  slowest,
  together,
  type Counts,
  type JestReport,
  type PassedOnlyAlone,
} from './jest-report.ts';
import { besides, verdict } from './verdict.ts';

const usage = `npm test [-- PATTERN ...] [--only prepare,lint,knip,types,jest]
npm run soak [-- PATTERN ...]

Lint, dead code, types, and every test of the repository: unit, integration on a real PostgreSQL, both event-bus adapters, both hypervisor
drivers, and a move on real QEMU. A suite whose part is missing on this machine fails and says how to get it;
CHRYSALIS_SKIP=qemu,kafka leaves those parts out by name, and the last lines then say so. PATTERN limits Jest to matching files.
What takes minutes for itself, *.soak.test.ts, is what npm run soak runs, in the same way.
Lint, dead code and types run beside each other. What fails is run again alone; a test that passes only then is named before the closing
line, and fails the run where CI=true.`;

const root = path.resolve(import.meta.dirname, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, soak: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

const only = values.only ?? (values.soak ? 'prepare,jest' : 'prepare,lint,knip,types,jest');
if (values.soak) process.env['CHRYSALIS_SOAK'] = 'on'; // for jest.preset.mjs

/** To its end. `say`, for what runs beside others: is given all that it said, in one piece. */
const run = (args: readonly string[], say?: (text: string) => void): Promise<number> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', say ? 'pipe' : 'inherit', say ? 'pipe' : 'inherit'],
      env: { CHRYSALIS_LOG: 'silent', ...process.env, NX_DAEMON: 'false' },
    });
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => said.push(chunk));
    const closed = new Promise<void>((done) => child.on('close', (code) => (resolve(code ?? 1), done())));
    if (say) child.on('close', () => say(Buffer.concat(said).toString()));
    atEnd(async () => {
      child.kill('SIGTERM');
      await closed;
    });
  });
const asOne = (code: number): Counts => ({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 });

/** What suites would otherwise fetch within a test's time: guest image, agent package, Kafka's jars. A suite says itself what it misses. */
const fetchParts = async (): Promise<void> => {
  const without = (process.env['CHRYSALIS_SKIP'] ?? '').split(',');
  const parts = [
    ...(without.includes('qemu') ? [] : [ensureGuestImage({ cacheDir }), ensureAgentPackage({ cacheDir })]),
    ...(without.includes('kafka') ? [] : [jars()]),
  ];
  for (const p of await Promise.allSettled(parts)) if (p.status === 'rejected') console.log(String(p.reason));
};

/** One more than there are cores: a third of a suite's time is waiting, for a lease to run out, a broker, a disk. */
const workers = Math.min(availableParallelism() + 1, 8);

const onlyAlone: PassedOnlyAlone[] = [];
type Step = (say: (text: string) => void) => Promise<Counts>;
/** What only reads the tree: two cores have it done in the time of the longest. */
const looks: Record<string, Step> = {
  lint: async (say) => {
    await prepareGraph(root);
    return asOne(await run(['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0'], say));
  },
  // What is exported and used nowhere else, files that nobody imports, dependencies that nobody needs.
  knip: async (say) => asOne(await run(['node_modules/knip/bin/knip.js', '--no-progress', '--no-config-hints'], say)),
  types: async (say) => asOne(await run(['node_modules/typescript-7/bin/tsc', '--noEmit', '-p', 'tsconfig.json'], say)),
};
const steps: Record<string, Step> = {
  ...looks,
  prepare: async () => {
    await fetchParts();
    return { passed: 0, failed: 0, skipped: 0 };
  },
  jest: async () => {
    const first = await jest([`--maxWorkers=${workers}`, ...positionals]);
    console.log('\nSlowest suites:');
    for (const s of slowest(first.report, 10)) console.log(`${s.seconds.toFixed(1).padStart(7)} s  ${path.relative(root, s.file)}`);
    const failed = failedFiles(first.report);
    if (failed.length === 0) return countsOf(first.report, first.code);
    // Suites run side by side on few cores, with emulated CPUs among them. What fails is run again alone: that tells what is broken
    // from what was short of time, which is a fault of its own and named as one.
    console.log(`\n== again, alone: ${failed.map((f) => path.relative(root, f)).join(', ')}`);
    // A suite that fails in its own end may leave connections open: the run must end all the same.
    const again = await jest(['--runInBand', '--forceExit', ...failed]);
    for (const t of passedOnlyAlone(first.report, again.report)) onlyAlone.push({ ...t, file: path.relative(root, t.file) });
    return together(first.report, again.report, again.code);
  },
};

const jest = async (args: readonly string[]): Promise<{ report: JestReport; code: number }> => {
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-test-'));
  const file = path.join(dir, 'report.json');
  try {
    const code = await run([
      '--disable-warning=ExperimentalWarning',
      '--experimental-vm-modules',
      'node_modules/jest/bin/jest.js',
      '--json',
      `--outputFile=${file}`,
      ...args,
    ]);
    return { report: JSON.parse(readFileSync(file, 'utf8')) as JestReport, code };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

// Without root: in a user namespace, where that can be had; else suites that need networks fail and say what to type.
const elsewhere = async (): Promise<number | undefined> => {
  if (!only.includes('jest') || chooseNetwork('qemu', undefined).network !== 'namespaces') return undefined;
  const needs = { trustedKeys: [], distributed: !!process.env['KAFKA_BROKERS'], say: (text: string) => console.log(text) };
  return unlessInUserNamespace(needs, fetchParts);
};

const main = async (): Promise<number> => {
  const ended = await elsewhere();
  if (ended !== undefined) return ended;
  const total = { passed: 0, failed: 0, skipped: 0 };
  const names = only.split(',');
  const unknown = names.find((name) => !steps[name]);
  if (unknown !== undefined) throw new Error(`unknown step ${unknown}: one of ${Object.keys(steps).join(', ')}`);
  const take = async (name: string): Promise<void> => {
    const startedAt = Date.now();
    let said = '';
    const counts = await steps[name]!((text) => (said += text));
    for (const k of ['passed', 'failed', 'skipped'] as const) total[k] += counts[k];
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
    console.log(`${said}== ${name}: ${counts.failed === 0 ? 'ok' : 'FAILED'} in ${seconds} s`);
  };
  for (const together of besides(names, (name) => name in looks)) {
    console.log(`\n== ${together.join(', ')}`);
    await Promise.all(together.map(take));
  }
  const leftOut = (process.env['CHRYSALIS_SKIP'] ?? '').split(',').filter(Boolean);
  const { lines, exitCode } = verdict(total, onlyAlone, { strict: process.env['CI'] === 'true', leftOut });
  for (const line of lines) console.log(`\n${line}`);
  return exitCode;
};
await asTool(main);
