import type { Command } from 'commander';
import { action, examples, finish, listCommand, positive, waits, type Run } from '../command.ts';
import { age, fields, mib, print, table, took, type Row } from '../show/output.ts';

/** Runs a plan; with --wait, to its end. */
export const startPlan = async (run: Run, planId: string): Promise<number> => {
  const { concurrency } = run.options;
  const answer = await run.client.request<Row>('POST', '/v1/migrations', { planId, ...(concurrency ? { concurrency } : {}) });
  return finish(run, { ...answer, operation: answer['operation'] ?? answer['migrationId'] }, `migration ${answer['migrationId']} started`);
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
    migration.command('get').argument('<migration>').description('a migration with the steps of its moves'),
    async ({ client, format, args }) => {
      const found = await client.request<Row>('GET', `/v1/migrations/${encodeURIComponent(args[0]!)}`);
      await print(format, found, () => migrationText(found));
    },
  );
  examples(
    action(
      waits(
        migration.command('start').argument('<plan>').description('run a plan').option('--concurrency <n>', 'so many at a time', positive),
      ),
      (run) => startPlan(run, run.args[0]!),
    ),
    'migration start plan-0199c0de-… --wait',
  );
  action(
    waits(migration.command('watch').argument('<migration>').description('show what happens until its end; exit code 0 if it succeeded')),
    (run) => finish({ ...run, options: { ...run.options, wait: true } }, { migrationId: run.args[0], operation: run.args[0] }, ''),
  );
  action(
    waits(
      migration
        .command('cancel')
        .argument('<migration>')
        .description('no further move begins; what runs is undone while it can be')
        .option('--reason <text>', 'why', 'by chrysalis migration cancel'),
    ),
    async (run) => {
      const answer = await run.client.request<Row>('POST', `/v1/migrations/${encodeURIComponent(run.args[0]!)}/cancel`, {
        reason: run.options['reason'],
      });
      return finish(run, { ...answer, operation: run.args[0] }, 'asked to cancel');
    },
  );
};

const migrationText = (m: Row): string => {
  const head = fields({
    migration: m['migrationId'],
    template: m['template'],
    plan: m['planId'],
    state: m['state'],
    took: took(m['startedAt'], m['endedAt']),
    cause: m['cause'] && `${m['cause'].code}: ${m['cause'].message}`,
  });
  return [head, ...(m['moves'] as Row[]).map(moveText)].join('\n\n');
};
const moveText = (move: Row): string => {
  const f = move['figures'];
  return [
    `${move['vmId']}: ${move['state']}${move['cause'] ? `, ${move['cause'].code}: ${move['cause'].message}` : ''}  (workflow ${move['workflowId']})`,
    ...(f
      ? [
          `  downtime ${f.downtimeMs.toFixed(1)} ms, in all ${Math.round(f.totalMs)} ms, ${mib(f.transferredBytes)} transferred, control plane ${Math.round(f.controlPlaneMs)} ms`,
        ]
      : []),
    ...(move['steps'].length
      ? [
          table(
            {
              '  section': (s) => `  ${s['section']}`,
              step: (s) => s['name'],
              state: (s) => s['state'],
              ms: (s) => s['ms'],
              what: (s) => s['cause']?.message ?? s['summary'],
            },
            move['steps'],
          ),
        ]
      : []),
  ].join('\n');
};
