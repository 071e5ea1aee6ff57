import { parseArgs } from 'node:util';
import { tenantKey } from '../run/grant.ts';
import { createScreen } from '../fleet/screen.ts';
import { needNamespaces } from '../run/privileges.ts';
import { asTool, interrupted } from '../run/tool.ts';
import { groups } from './groups.ts';
import type { Scenario } from './scenario.ts';

const usage = `npm run scenarios -- [GROUP] [--rounds N] [--only NAME]... [--json]

Runs every scenario of a group (or of all) on the real parts and says what was expected and what was seen.
--only: of provisioning and migration those alone that have NAME in their name.
Groups: ${Object.entries(groups)
  .map(([name, g]) => `\n  ${name.padEnd(12)} ${g.summary}`)
  .join('')}`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '20' },
    only: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const wanted = positionals.length > 0 ? positionals : Object.keys(groups);
const unknown = wanted.filter((g) => !(g in groups));
if (values.help || unknown.length > 0) {
  (values.help ? console.log : console.error)(unknown.length > 0 ? `unknown group ${unknown.join(', ')}\n\n${usage}` : usage);
  process.exit(values.help ? 0 : 2);
}
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error(`--rounds takes a whole number from 1 on, not ${values.rounds}\n\n${usage}`);
  process.exit(2);
}
process.env['CHRYSALIS_LOG'] ??= 'fatal';

const screen = createScreen(values.json ? process.stderr : process.stdout);

const main = async (): Promise<number> => {
  await needNamespaces({ trustedKeys: [(await tenantKey()).publicJwk], distributed: false, say: (text) => screen.line(text) });
  const scenarios: Scenario[] = [];
  for (const name of wanted) {
    screen.title(`${name}: ${groups[name]!.summary}`);
    await groups[name]!.run({
      signal: interrupted,
      rounds,
      only: values.only,
      say: (text) => screen.line(text),
      record: (s) => {
        scenarios.push(s);
        screen.line(
          `${s.ok ? 'ok  ' : 'FAIL'} ${s.name} (${(s.ms / 1000).toFixed(1)} s)${s.ok ? '' : `: ${differences(s.expected, s.observed)}`}`,
        );
      },
    });
  }
  const ok = scenarios.length > 0 && scenarios.every((s) => s.ok);
  if (values.json) process.stdout.write(`${JSON.stringify({ ok, scenarios }, null, 2)}\n`);
  screen.title(`${scenarios.filter((s) => s.ok).length} hold, ${scenarios.filter((s) => !s.ok).length} do not`);
  return ok ? 0 : 1;
};
await asTool(main);

/** Only what differs: the rest of a long line hides it. */
function differences(expected: unknown, observed: unknown): string {
  const [e, o] = [expected, observed] as Record<string, unknown>[];
  return Object.keys({ ...e, ...o })
    .filter((k) => JSON.stringify(e![k]) !== JSON.stringify(o![k]))
    .map((k) => `${k}: expected ${JSON.stringify(e![k])}, observed ${JSON.stringify(o![k])}`)
    .join('; ');
}
