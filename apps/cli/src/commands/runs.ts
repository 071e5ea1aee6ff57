import { Option, type Command } from 'commander';
import { exits } from '../exit.ts';
import { vmIdOf } from '../named.ts';
import { action, changing, duration, examples, finish, listCommand, waits, type Run } from '../command.ts';
import { migrationText } from '../show/migration.ts';
import { age, print, took } from '../show/output.ts';
import { migrationLogCommand, watchMigration } from './migration-logs.ts';
import { planText } from '../show/plan.ts';
import { asPlanned, howToGo, setOptions } from './set-options.ts';

/** Runs a plan; with --wait, to its end. `how`: what else than the plan says. */
export const startPlan = async (run: Run, planId: string, how: Awaited<ReturnType<typeof howToGo>> = {}): Promise<number> => {
  const answer = await run.client.post('/v1/migrations', { body: { planId, ...how } });
  return finish(run, answer, `migration ${answer.migrationId} started`);
};

export const runCommands = (program: Command): void => {
  const migration = program.command('migration').description('runs of a template over a set of VMs');
  listCommand(migration.command('list').alias('ls').description('the migrations, newest first'), {
    path: '/v1/migrations',
    filters: { state: 'running, paused, succeeded, undone, failed or cancelled' },
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
  pauseCommands(migration);
  approvalCommands(migration);
  againCommands(migration);
};

/** Those that make a run go, wait for it and end it. */
const startCommands = (migration: Command): void => {
  examples(
    changing(waits(setOptions(migration.command('start').argument('<plan>').description('run a plan'))), async (run) =>
      startPlan(run, run.args[0]!, await howToGo(run)),
    ),
    'migration start plan-0199c0de-… --wait',
    'migration start plan-0199c0de-… --concurrency 10 --canary 1 --max-failures 5% --per-host 2',
  );
  action(
    waits(migration.command('watch').argument('<migration>').description('show what happens until its end; exit code 0 if it succeeded')),
    (run) => finish({ ...run, options: { ...run.options, wait: true } }, { migrationId: run.args[0], operation: run.args[0]! }, ''),
  );
  changing(
    waits(
      migration
        .command('cancel')
        .alias('abort')
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

const pauseCommands = (migration: Command): void => {
  examples(
    changing(
      migration
        .command('pause')
        .argument('<migration>')
        .description('no further move begins until it is resumed; what runs goes on to its end')
        .option('--for <time>', 'so long at most, e.g. 2h; a day unless told', duration)
        .addOption(
          new Option('--then <what>', 'what comes where nobody resumed it by then').choices(['cancel', 'resume']).default('cancel'),
        )
        .option('--reason <text>', 'why', 'by chrysalis migration pause')
        .option('--replace', 'in place of the pause that there is, with this time and this reason'),
      async ({ client, format, args, options }) => {
        const body = {
          reason: options['reason'],
          then: options['then'],
          ...(options['for'] ? { forMs: options['for'] } : {}),
          ...(options['replace'] ? { replace: true } : {}),
        };
        const answer = await client.post('/v1/migrations/{id}/pause', { path: { id: args[0]! }, body });
        await print(format, answer, () => `paused; next: chrysalis migration resume ${args[0]}`);
      },
    ),
    'migration pause mig-0199c0de-… --for 2h --then resume',
  );
  changing(waits(migration.command('resume').argument('<migration>').description('go on with a migration that is paused')), async (run) => {
    const answer = await run.client.post('/v1/migrations/{id}/resume', { path: { id: run.args[0]! }, body: {} });
    return finish(run, answer, 'goes on');
  });
};

const approvalCommands = (migration: Command): void => {
  const word = (verb: 'approve' | 'reject', what: string, said: string): void => {
    const command = waits(migration.command(verb).argument('<migration>').description(what))
      .option('--vm <vm>', 'the move of this VM alone; every move that waits now unless told')
      .option('--reason <text>', 'why');
    examples(
      changing(command, async (run) => {
        const { vm, reason } = run.options;
        const body = {
          ...(vm === undefined ? {} : { vmId: await vmIdOf(run.client, vm) }),
          ...(reason === undefined ? {} : { reason }),
        };
        const path = { id: run.args[0]! };
        const answer =
          verb === 'approve'
            ? await run.client.post('/v1/migrations/{id}/approve', { path, body })
            : await run.client.post('/v1/migrations/{id}/reject', { path, body });
        return finish(run, answer, said);
      }),
      `migration ${verb} mig-0199c0de-… --vm web --reason "seen by both of us"`,
    );
  };
  word('approve', 'let the moves that wait for it switch over', 'approved');
  word('reject', 'undo the moves that wait for an approval; their VMs run on where they are', 'rejected');
};

const againCommands = (migration: Command): void => {
  const again = (verb: string, what: string, member: 'retryOf' | 'undoOf'): void => {
    const command = waits(setOptions(migration.command(verb).argument('<migration>').description(what)));
    action(command.option('--dry-run', 'stop at the plan, and keep nothing of it'), async (run) => {
      const { dryRun } = run.options;
      const query = { dryRun: dryRun ? 'true' : undefined } as const;
      const plan = await run.client.post('/v1/migration-plans', {
        body: { [member]: run.args[0]!, ...(await asPlanned(run)) } as never,
        query,
      });
      if (dryRun) {
        await print(run.format, plan, () => planText(plan));
        if (!run.quiet) process.stderr.write('dry run: nothing was kept, not even this plan\n');
        return plan.ready ? exits.ok : exits.refused;
      }
      if (!run.quiet) process.stderr.write(`${planText(plan)}\n\n`);
      return plan.ready ? startPlan(run, plan.planId) : exits.refused;
    });
  };
  again('retry', 'begin it again, by its template, for those of its VMs that it has not moved', 'retryOf');
  again('undo', 'take it back: those that it moved go to the host and the type they had, by the inverse of its template', 'undoOf');
};
