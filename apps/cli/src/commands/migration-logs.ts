import type { Command } from 'commander';
import { action, examples, type Run } from '../command.ts';
import { onInterrupt } from '../interrupt.ts';
import { exits } from '../exit.ts';
import { migrationText } from '../show/migration.ts';
import { print, printOne } from '../show/output.ts';
import { logLine } from '../show/log-line.ts';
import { Transfers } from '../show/transfer.ts';
import type { LogLine, Operation, Progress } from '@chrysalis/api-client';

export const migrationLogCommand = (migration: Command): void => {
  examples(
    action(
      migration
        .command('logs')
        .argument('<migration>', 'a migration, or one of its moves')
        .description('the story of each move: steps, attempts, causes, executors, and what QEMU, agents and scripts said')
        .option('--vm <vm>', 'only of this VM, by its id or name')
        .option('-f, --follow', 'go on as it happens, until the migration ends'),
      logs,
    ),
    'migration logs mig-0199c0de-…',
    'migration logs mig-0199c0de-… --vm web --follow',
    'migration logs mov-0199c0de-… -o json',
  );
};

const logs = async ({ client, format, args, options }: Run): Promise<number> => {
  if (!options['follow']) {
    const story = await client.get('/v1/migrations/{id}/logs', { path: { id: args[0]! }, query: { vm: options['vm'] } });
    await print(format, story, () => (story.items.length ? story.items.map(logLine).join('\n') : 'Nothing happened yet.'));
    return exits.ok;
  }
  const query = new URLSearchParams({ ...(options['vm'] ? { vm: options['vm'] } : {}), follow: 'true' });
  const shown = new Set<string>(); // a connection that was cut begins a burst of lines anew
  for await (const { event, data } of client.events(`/v1/migrations/${encodeURIComponent(args[0]!)}/logs?${query}`)) {
    const line = data as LogLine;
    if (event !== 'log' || shown.has(line['position'])) continue;
    shown.add(line['position']);
    await printOne(format, line, () => logLine(line));
  }
  return exits.ok;
};

/** A migration as it goes: shown again after each change, with the bytes of its transfers, until it ends. */
export const watchMigration = async ({ client, format, args }: Run): Promise<number> => {
  const id = args[0]!;
  const transfers = new Transfers();
  const lines = new Map<string, string>();
  const show = async (): Promise<void> => {
    const found = await client.get('/v1/migrations/{id}', { path: { id } });
    const running = found.moves.filter((m) => m['state'] === 'running').flatMap((m) => lines.get(m['moveId']) ?? []);
    if (format === 'table') process.stdout.write(process.stdout.isTTY ? '\x1b[2J\x1b[H' : '');
    await printOne(format, found, () => [migrationText(found), ...running, ''].join('\n'));
  };
  const stop = new AbortController();
  const sampled = async (p: Progress): Promise<void> => {
    const sample = transfers.sample(p);
    if (!sample) return;
    lines.set(p.moveId, sample.text);
    if (sample.due && format === 'table') await show();
  };
  const bytes = (async () => {
    for await (const p of client.progress({ signal: stop.signal })) await sampled(p);
  })().catch(() => undefined); // telemetry may be lost
  let end: Operation | undefined;
  onInterrupt(`${id} goes on`, `chrysalis migration get ${id} --watch`);
  try {
    for await (const e of client.events(`/v1/operations/${encodeURIComponent(id)}/events`)) {
      transfers.heard(e);
      if (e.event === 'operation') await show();
      if (e.event === 'end') end = e.data as Operation;
    }
  } finally {
    stop.abort();
    await bytes;
  }
  if (end) await show();
  return end?.state === 'succeeded' ? exits.ok : exits.failed;
};
