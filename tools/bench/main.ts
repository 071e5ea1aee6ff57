// `npm run bench -- NAME [--json] [--rounds N]`: runs tools/bench/NAME.ts. Exit code 0 only if every target is met.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { asTool } from '../run/tool.ts';
import type { BenchOptions, Report } from './report.ts';

const here = fileURLToPath(new URL('.', import.meta.url));

/** A benchmark is a file beside this one that exports `bench`. */
const available = (): string[] =>
  readdirSync(here)
    .filter((file) => /^[a-z][a-z-]*\.ts$/.test(file) && !['main.ts', 'report.ts', 'peers.ts', 'open-loop.ts'].includes(file))
    .map((file) => file.slice(0, -3));

const table = (r: Report): string => {
  const contenders = new Table({ head: ['contender', 'version', 'median', 'min', 'max', 'unit'], style: { head: [], border: [] } });
  for (const c of r.contenders) contenders.push([c.name, c.version, c.median, c.min, c.max, c.unit]);
  const targets = new Table({ head: ['target', 'is', 'should be', ''], style: { head: [], border: [] } });
  for (const t of r.targets) targets.push([t.metric, t.value, t.target, t.ok ? 'met' : 'MISSED']);
  const { cpu, cores, memoryMiB, node } = r.machine;
  return `${r.name}: ${r.rounds} rounds on ${cores} x ${cpu}, ${memoryMiB} MiB, Node ${node}\n${contenders.toString()}\n${targets.toString()}\n`;
};

const run = async (args: readonly string[]): Promise<number> => {
  const [name] = args.filter((arg, i) => !arg.startsWith('--') && args[i - 1] !== '--rounds');
  if (!name || !existsSync(`${here}${name}.ts`) || !available().includes(name)) {
    process.stderr.write(`usage: bench NAME [--json] [--rounds N]\nbenchmarks: ${available().join(', ')}\n`);
    return 2;
  }
  const asked = args.includes('--rounds') ? Number(args[args.indexOf('--rounds') + 1]) : 3;
  const { bench } = (await import(`./${name}.ts`)) as { bench: (options: BenchOptions) => Promise<Report> };
  const result = await bench({ rounds: Math.max(3, asked || 3), progress: (text) => process.stderr.write(`${text}\n`) });
  process.stdout.write(args.includes('--json') ? `${JSON.stringify(result, null, 2)}\n` : table(result));
  return result.ok ? 0 : 1;
};

await asTool(() => run(process.argv.slice(2)));
