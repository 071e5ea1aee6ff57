// `npm run harness -- [--seeds N] [--first N] [--template NAME] [--json]`: the sample workflows through every failure, then N seeds of all
// of it at once for each of them. Exit code 0 only if no invariant was broken.
import { parseArgs } from 'node:util';
import { everyStepFails, sampleWorkflows, type HarnessReport, type Violation } from '@chrysalis/testing/workflow-harness';

const USAGE = `usage: harness [--seeds N] [--first N] [--template NAME] [--json]
  --seeds N        random runs of each template (300 unless told)
  --first N        the first seed (1): \`--first 4711 --seeds 1\` runs one again
  --template NAME  ${sampleWorkflows.map((s) => s.name).join(', ')}; all unless told
`;
/** So many seeds between two lines of progress. */
const CHUNK = 100;
type Sample = (typeof sampleWorkflows)[number];
type Result = Pick<HarnessReport, 'scenarios' | 'events'> & { readonly template: string; readonly ms: number; readonly violations: number };

const told = (template: string, { scenario, seed, message, log }: Violation): string => {
  const chaos = /^chaos (\d+)$/.exec(scenario);
  const again = chaos ? `--first ${chaos[1]} --seeds 1` : '--seeds 0';
  return `${template}, ${scenario} (seed ${seed}): ${message}
  again: npm run harness -- --template ${template} ${again}
    ${log.join('\n    ')}
`;
};

const runTemplate = (sample: Sample, seeds: number, first: number): Result => {
  const began = performance.now();
  let [scenarios, events, violations] = [0, 0, 0];
  for (let done = 0; done === 0 || done < seeds; done += CHUNK) {
    // The single faults are the same whatever the seed: once.
    const part = { seeds: Math.min(CHUNK, seeds - done), firstSeed: first + done, singleFaults: done === 0 };
    const report = everyStepFails({ ...sample, ...part });
    scenarios += report.scenarios;
    events += report.events;
    violations += report.violations.length;
    for (const v of report.violations.slice(0, 3)) process.stderr.write(told(sample.name, v));
    if (process.stderr.isTTY || done % (CHUNK * 10) === 0)
      process.stderr.write(`${sample.name}: ${done + part.seeds} of ${seeds} seeds, ${scenarios} runs, ${violations} violations\n`);
  }
  return { template: sample.name, scenarios, events, violations, ms: Math.round(performance.now() - began) };
};

const isCount = (n: number, least: number): boolean => Number.isSafeInteger(n) && n >= least;

const main = (args: string[]): number => {
  const options = {
    seeds: { type: 'string' },
    first: { type: 'string' },
    template: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  const { values } = parseArgs({ args, options });
  const [seeds, first] = [Number(values.seeds ?? 300), Number(values.first ?? 1)];
  const chosen = sampleWorkflows.filter((s) => values.template === undefined || s.name === values.template);
  if (values.help || chosen.length === 0 || !isCount(seeds, 0) || !isCount(first, 1)) {
    process.stderr.write(USAGE);
    return values.help ? 0 : 2;
  }
  const results = chosen.map((sample) => runTemplate(sample, seeds, first));
  if (values.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  else
    for (const r of results)
      process.stdout.write(
        `${r.template}: ${r.scenarios} runs, ${r.events} events, ${r.violations} violations, ${(r.ms / 1000).toFixed(1)} s\n`,
      );
  return results.some((r) => r.violations > 0) ? 1 : 0;
};

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
