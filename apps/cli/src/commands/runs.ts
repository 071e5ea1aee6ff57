import type { Command } from 'commander';
import { exits } from '../exit.ts';
import { action, changing, examples, finish, listCommand, positive, waits, type Run } from '../command.ts';
import { migrationText } from '../show/migration.ts';
import { age, print, took } from '../show/output.ts';
import { migrationLogCommand, watchMigration } from './migration-logs.ts';

/** Runs a plan; with --wait, to its end. */
export const startPlan = async (run: Run, planId: string): Promise<number> => {
  const { concurrency } = run.options;
  const answer = await run.client.post('/v1/migrations', { body: { planId, ...(concurrency ? { concurrency } : {}) } });
  return finish(run, answer, `migration ${answer.migrationId} started`);
};

export const runCommands = (program: Command): void => {
  const migration = program.command('migration').description('runs of a template over a set of VMs');
  listCommand(migration.command('list').alias('ls').description('the migrations, newest first'), {
    path: '/v1/migrations',
    filters: { state: 'running, succeeded, undone or failed' },
    empty: 'No migrations.',
    columns: {
      migration: (m) => m['migrationId'],
      template: (m) => m['template'],
      state: (m) => m['state'],
      vms: (m) => m['vmIds'].length,
      took: (m) => took(m['startedAt'], m['endedAt']),
      age: (m) => age(m['startedAt']),
      cause: (m) => m['cause']?.code,
    },
  });
  action(
    migration
      .command('get')
      .argument('<migration>')
      .description('a migration with the steps of its moves')
      .option('--watch', 'show it again after each change, and the bytes of its transfers, until it ends'),
    async (run) => {
      if (run.options['watch']) return watchMigration(run);
      const { client, format, args } = run;
      const found = await client.get('/v1/migrations/{id}', { path: { id: args[0]! } });
      await print(format, found, () => migrationText(found));
      return exits.ok;
    },
  );
  migrationLogCommand(migration);
  startCommands(migration);
};

/** Those that make a run go, wait for it and end it. */
const startCommands = (migration: Command): void => {
  examples(
    changing(
      waits(
        migration.command('start').argument('<plan>').description('run a plan').option('--concurrency <n>', 'so many at a time', positive),
      ),
      (run) => startPlan(run, run.args[0]!),
    ),
    'migration start plan-0199c0de-… --wait',
  );
  action(
    waits(migration.command('watch').argument('<migration>').description('show what happens until its end; exit code 0 if it succeeded')),
    (run) => finish({ ...run, options: { ...run.options, wait: true } }, { migrationId: run.args[0], operation: run.args[0]! }, ''),
  );
  changing(
    waits(
      migration
        .command('cancel')
        .argument('<migration>')
        .description('no further move begins; what runs is undone while it can be')
        .option('--reason <text>', 'why', 'by chrysalis migration cancel'),
    ),
    async (run) => {
      const answer = await run.client.post('/v1/migrations/{id}/cancel', {
        path: { id: run.args[0]! },
        body: { reason: run.options['reason'] },
      });
      return finish(run, { ...answer, operation: run.args[0]! }, 'asked to cancel');
    },
  );
};
