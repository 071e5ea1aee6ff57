import { ApiError, type BodyOf, type OptionsQuery, type PlanMade } from '@chrysalis/api-client';
import type { Command } from 'commander';
import { action, changing, collect, dryRun, examples, vmOf, waits, type Run } from '../command.ts';
import { RefusedError, UsageError } from '../errors.ts';
import { onInterrupt } from '../interrupt.ts';
import { exits } from '../exit.ts';
import { optionsText, planText, refusedLines } from '../show/plan.ts';
import { print } from '../show/output.ts';
import { runCommands, startPlan } from './runs.ts';
import { asPlanned, setOptions } from './set-options.ts';
import { templateCommands } from './templates.ts';

const vmIds = async (run: Run): Promise<string[]> => {
  const named: string[] = run.options['vm'] ?? [];
  if (named.length === 0) throw new UsageError('name at least one VM with --vm');
  return Promise.all(named.map(async (v) => (await vmOf(run.client, v)).vmId));
};

type Select = { readonly labels?: Record<string, string>; readonly filter?: string };
/** VMs that are named, or what they are found by when the plan is made. */
type Who = { readonly vmIds: string[] } | { readonly select: Select };
const who = async (run: Run): Promise<Who> => {
  const { vm, label, filter } = run.options;
  if (!label && filter === undefined) return { vmIds: await vmIds(run) };
  if (vm) throw new UsageError('VMs are named with --vm, or found by --label and --filter: not both');
  return { select: { ...(label ? { labels: labelsWanted(label) } : {}), ...(filter === undefined ? {} : { filter: String(filter) }) } };
};

const labelsWanted = (words: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw new UsageError(`--label ${word}: KEY=VALUE`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );

/** Asks, waits for the answer, gives it. */
const queryOptions = async (run: Run, ids: readonly string[]): Promise<OptionsQuery> => {
  const { grant } = run.options;
  const asked = await run.client.post('/v1/migration-options-queries', {
    body: { vmIds: [...ids], ...(grant ? { grantId: grant } : {}) },
  });
  onInterrupt(`${asked['queryId']} goes on`, `chrysalis operation watch ${asked['operation'] ?? asked['queryId']}`);
  for (const end = Date.now() + run.options['timeout']; ; await new Promise((r) => setTimeout(r, 200))) {
    const query = await run.client.get('/v1/migration-options-queries/{id}', { path: { id: asked.queryId } });
    if (query['state'] !== 'open') return query;
    if (Date.now() > end && asked['operation']) await run.client.waitOperation(asked['operation'], { timeoutMs: 1 });
    if (Date.now() > end) throw new Error(`query ${asked['queryId']} has no answer yet`);
  }
};

/** By a template, or by the first option that leads there, with a grant or without. */
type By = { readonly template: string } | { readonly to?: string; readonly option?: string; readonly grantId?: string };
const makePlan = async (run: Run, by: By, of: Who): Promise<PlanMade> => {
  const body = { ...by, ...of, ...(await asPlanned(run)) } as BodyOf<'post', '/v1/migration-plans'>;
  return run.client
    .post('/v1/migration-plans', { body, query: { dryRun: run.options['dryRun'] ? 'true' : undefined } })
    .catch((error: unknown) => {
      if (!(error instanceof ApiError) || error.code !== 'option.refused') throw error;
      const refused = (error.problem['refused'] ?? []) as NonNullable<OptionsQuery['refused']>;
      throw new RefusedError([error.problem.detail, ...refusedLines(refused)].join('\n'));
    });
};
const blocked = (plan: PlanMade): boolean => plan.moves.some((m) => m.blockers.length > 0);

const vmOption = (c: Command): Command => c.option('--vm <vm>', 'id or name; more than once, or separated by commas', collect);
/** By which the VMs of a plan are found, in place of names. */
const whoOptions = (c: Command): Command =>
  vmOption(c)
    .option(
      '--label <KEY=VALUE>',
      'in place of --vm: those with this label when the plan is made; again for more, and all must hold',
      collect,
    )
    .option('--filter <cel>', 'in place of --vm, or beside --label: those for whom it holds, e.g. vm.type == "small@1"');

/** In the order of what is done: options, template, plan, migration. */
export const migrationCommands = (program: Command): void => {
  optionsCommand(program);
  templateCommands(program);
  planCommands(program);
  migrateCommand(program);
  runCommands(program);
};

const optionsCommand = (program: Command): void => {
  examples(
    changing(
      waits(
        vmOption(
          program
            .command('options')
            .description('where VMs can go')
            .command('query')
            .description('to which types, with which options, can these VMs go?'),
        ),
      ).option('--grant <grant>', 'look into the guests under this grant'),
      async (run) => {
        const query = await queryOptions(run, await vmIds(run));
        await print(run.format, query, () => optionsText(query));
        return query['state'] === 'answered' ? exits.ok : exits.failed;
      },
    ),
    'options query --vm web',
    'options query --vm web,db --grant grant-2026-11',
  );
};

const planCommands = (program: Command): void => {
  const plan = program.command('plan').description('a migration worked out in full, before anything is touched');
  examples(
    action(
      setOptions(
        whoOptions(
          plan
            .command('create')
            .description('make a plan; exit code 4 if something blocks it')
            .requiredOption('--template <template>', '`name@version`'),
        ),
      ).option('--dry-run', 'keep no plan'),
      async (run) => {
        const made = await makePlan(run, { template: run.options['template'] }, await who(run));
        await print(run.format, made, () => planText(made));
        return blocked(made) ? exits.refused : exits.ok;
      },
    ),
    'plan create --template small-to-large@1 --vm web',
    'plan create --template small-to-large@1 --vm web,db --concurrency 2 --per-target 1',
  );
  action(plan.command('get').argument('<plan>').description('a plan: sections, steps, blockers'), async ({ client, format, args }) => {
    const found = await client.get('/v1/migration-plans/{id}', { path: { id: args[0]! } });
    await print(format, found, () => planText(found));
  });
};

const migrateCommand = (program: Command): void => {
  examples(
    action(
      waits(
        setOptions(whoOptions(program.command('migrate').description('options, template, plan and run in one')))
          .option('--to <type>', 'to this type, by the first option that leads there')
          .option('--option <option>', 'by this option of `options query`')
          .option('--template <template>', 'by this template, `name@version`')
          .option('--grant <grant>', 'look into the guests under this grant')
          .option('--dry-run', 'stop at the plan, and keep nothing of it'),
      ),
      migrate,
    ),
    'migrate --vm web --to large --wait',
    'migrate --vm web --to large --dry-run',
    'migrate --vm web,db --template small-to-large@1 --concurrency 2 --wait',
    'migrate --vm web-1,web-2,web-3,db --to large --canary 1 --max-failures 2 --after db=web-1',
    'migrate --label team=web --template small-to-large@1 --window 2026-12-01T22:00Z/2026-12-02T04:00Z',
  );
};

const migrate = async (run: Run): Promise<number> => {
  const of = await who(run);
  const { template, dryRun } = run.options;
  const plan = await makePlan(run, template ? await byTemplate(run, of) : await byOption(run, of), of);
  if (dryRun || blocked(plan)) {
    await print(run.format, plan, () => planText(plan));
    if (dryRun && !run.quiet) process.stderr.write('dry run: nothing was kept, not even this plan\n');
    return blocked(plan) ? exits.refused : exits.ok;
  }
  if (!run.quiet) process.stderr.write(`${planText(plan)}\n\n`);
  return startPlan(run, plan['planId']);
};

/** So many VMs one options query takes: with more, a plan's VMs are asked for in portions. */
const ONE_QUERY = 100;
const portions = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / ONE_QUERY) }, (_, i) => all.slice(i * ONE_QUERY, (i + 1) * ONE_QUERY));

/** What lets an agent look into the guests of all these VMs, as it is typed: a line for each query. */
const lookLines = (vms: readonly string[], grant: string): string =>
  portions(vms)
    .map((some) => `  chrysalis options query --vm ${some.join(',')} --grant ${grant}`)
    .join('\n');

const byTemplate = async (run: Run, of: Who): Promise<By> => {
  const { to, option, template } = run.options;
  if (to ?? option) throw new UsageError('a template says where to: give --template without --to and --option');
  await look(run, of);
  return { template };
};

const byOption = async (run: Run, of: Who): Promise<By> => {
  const { to, option, grant: grantId } = run.options;
  if (!to && !option) throw new UsageError('say where to: --to TYPE, --option OPTION or --template NAME@VERSION');
  await look(run, of);
  return { ...(option ? { option } : { to }), ...(grantId ? { grantId } : {}) };
};

/** Under a grant the agents look first; in a dry run the grant is only judged, and what they found earlier counts. */
const look = async (run: Run, of: Who): Promise<void> => {
  const { grant: grantId, dryRun: trial } = run.options;
  if (!grantId) return;
  if ('select' in of)
    throw new UsageError('under a grant agents look into VMs that are named: give --vm, or let them look first: chrysalis options query');
  const ids = of.vmIds;
  if (trial) {
    for (const vmIds of portions(ids)) await run.client.post('/v1/migration-options-queries', { body: { vmIds, grantId }, query: dryRun });
    if (!run.quiet) {
      const lines = lookLines(run.options['vm'], grantId);
      process.stderr.write(
        `dry run: no agent looks into the guests, so the plan goes by what is known of them; to let one look:\n${lines}\n`,
      );
    }
    return;
  }
  for (const some of portions(ids)) {
    const query = await queryOptions(run, some);
    if (query.state !== 'answered') throw new RefusedError(optionsText(query));
  }
};
