import type { Command } from 'commander';
import { action, collect, examples, finish, listCommand, number, readDocument, vmOf, waits, type Run } from '../command.ts';
import { UsageError } from '../errors.ts';
import { exits } from '../exit.ts';
import { optionsText, planText } from '../show/plan.ts';
import { age, fields, mib, print, ref, table, took, type Row } from '../show/output.ts';
import { refPath } from './catalogue.ts';

const vmIds = async (run: Run): Promise<string[]> => {
  const named: string[] = run.options['vm'] ?? [];
  if (named.length === 0) throw new UsageError('name at least one VM with --vm');
  return Promise.all(named.map(async (v) => (await vmOf(run.client, v))['vmId'] as string));
};

/** Asks, waits for the answer, gives it. */
const queryOptions = async (run: Run, ids: readonly string[]): Promise<Row> => {
  const { grant } = run.options;
  const asked = await run.client.request<Row>('POST', '/v1/migration-options-queries', { vmIds: ids, ...(grant ? { grantId: grant } : {}) });
  for (const end = Date.now() + run.options['timeout']; ; await new Promise((r) => setTimeout(r, 200))) {
    const query = await run.client.request<Row>('GET', `/v1/migration-options-queries/${asked['queryId']}`);
    if (query['state'] !== 'open') return query;
    if (Date.now() > end && asked['operation']) await run.client.waitOperation(asked['operation'], { timeoutMs: 1 });
    if (Date.now() > end) throw new Error(`query ${asked['queryId']} has no answer yet`);
  }
};

const makePlan = async (run: Run, template: string, ids: readonly string[]): Promise<Row> => {
  const made = await run.client.request<Row>('POST', '/v1/migration-plans', { template, vmIds: ids });
  return made['plan'] ?? made;
};
const blocked = (plan: Row): boolean => plan['moves'].some((m: Row) => m['blockers'].length > 0);

export const migrationCommands = (program: Command): void => {
  const vmOption = (c: Command): Command => c.option('--vm <vm>', 'id or name; more than once, or separated by commas', collect);
  const timed = (c: Command): Command => waits(c);

  examples(
    action(
      timed(vmOption(program.command('options').description('where VMs can go').command('query').description('to which types, with which options, can these VMs go?'))).option(
        '--grant <grant>',
        'look into the guests under this grant',
      ),
      async (run) => {
        const query = await queryOptions(run, await vmIds(run));
        await print(run.format, query, () => optionsText(query));
        return query['state'] === 'answered' ? exits.ok : exits.failed;
      },
    ),
    'options query --vm web',
    'options query --vm web,db --grant grant-2026-11',
  );
  templateCommands(program);

  const plan = program.command('plan').description('a migration worked out in full, before anything is touched');
  examples(
    action(
      vmOption(plan.command('create').description('make a plan; exit code 4 if something blocks it').requiredOption('--template <template>', '`name@version`')),
      async (run) => {
        const made = await makePlan(run, run.options['template'], await vmIds(run));
        await print(run.format, made, () => planText(made));
        return blocked(made) ? exits.refused : exits.ok;
      },
    ),
    'plan create --template small-to-large@1 --vm web',
  );
  action(plan.command('get').argument('<plan>').description('a plan: sections, steps, blockers'), async ({ client, format, args }) => {
    const found = await client.request<Row>('GET', `/v1/migration-plans/${encodeURIComponent(args[0]!)}`);
    await print(format, found, () => planText(found));
  });

  examples(
    action(
      timed(
        vmOption(program.command('migrate').description('options, template, plan and run in one'))
          .option('--to <type>', 'to this type, by the first option that leads there')
          .option('--option <option>', 'by this option of `options query`')
          .option('--template <template>', 'by this template, `name@version`')
          .option('--grant <grant>', 'look into the guests under this grant')
          .option('--concurrency <n>', 'so many at a time', number)
          .option('--dry-run', 'stop at the plan'),
      ),
      migrate,
    ),
    'migrate --vm web --to large --wait',
    'migrate --vm web --to large --dry-run',
    'migrate --vm web,db --template small-to-large@1 --concurrency 2 --wait',
  );
  runCommands(program);
};

const migrate = async (run: Run): Promise<number> => {
  const ids = await vmIds(run);
  const template = run.options['template'] ?? (await templateByOption(run, ids));
  const plan = await makePlan(run, template, ids);
  if (run.options['dryRun'] || blocked(plan)) {
    await print(run.format, plan, () => planText(plan));
    return blocked(plan) ? exits.refused : exits.ok;
  }
  if (!run.quiet) process.stderr.write(`${planText(plan)}\n\n`);
  return startPlan(run, plan['planId']);
};

const startPlan = async (run: Run, planId: string): Promise<number> => {
  const { concurrency } = run.options;
  const answer = await run.client.request<Row>('POST', '/v1/migrations', { planId, ...(concurrency ? { concurrency } : {}) });
  return finish(run, { ...answer, operation: answer['operation'] ?? answer['migrationId'] }, `migration ${answer['migrationId']} started`);
};

const templateByOption = async (run: Run, ids: readonly string[]): Promise<string> => {
  const { to, option } = run.options;
  if (!to && !option) throw new UsageError('say where to: --to TYPE, --option OPTION or --template NAME@VERSION');
  const query = await queryOptions(run, ids);
  const chosen = ((query['options'] ?? []) as Row[]).find((o) => (option ? o['id'] === option : [o['targetType'].name, ref(o['targetType'])].includes(to)));
  if (!chosen) {
    process.stderr.write(`${optionsText(query)}\n`);
    throw new UsageError(`no option ${option ?? `to ${to}`} is offered for these VMs${run.options['grant'] ? '' : '; with --grant there may be more'}`);
  }
  const name = `to-${chosen['targetType'].name}-${query['queryId'].slice(-8).toLowerCase().replaceAll(/[^a-z0-9-]/g, '')}`;
  const made = await run.client.request<Row>('POST', '/v1/migration-templates', { name, fromOption: { queryId: query['queryId'], optionId: chosen['id'] } });
  return ref(made as never)!;
};

const templateCommands = (program: Command): void => {
  const template = program.command('template').description('migration templates: five sections and options, in immutable versions');
  listCommand(template.command('list').alias('ls').description('the templates, each with its newest version'), {
    path: '/v1/migration-templates',
    empty: 'No templates. Make one with: chrysalis template from-option NAME --query QUERY --option OPTION',
    columns: {
      template: (t) => ref(t as never),
      from: (t) => ref(t['spec'].sourceType),
      to: (t) => ref(t['spec'].options.targetType),
      method: (t) => (t['spec'].migration.length ? t['spec'].options.method : 'in place'),
      steps: (t) => ['preMigration', 'hotUnplug', 'migration', 'hotPlug', 'postMigration'].map((s) => t['spec'][s].length).join('/'),
      state: (t) => (t['retired'] ? 'retired' : 'active'),
      age: (t) => age(t['publishedAt']),
    },
  });
  action(template.command('get').argument('<template>', '`name` or `name@version`').description('a template'), async ({ client, format, args }) => {
    const found = await client.request<Row>('GET', `/v1/migration-templates/${refPath(args[0]!)}`);
    await print(format === 'table' ? 'yaml' : format, found, () => '');
  });
  const published = async (run: Run, body: object): Promise<void> => {
    const answer = await run.client.request<Row>('POST', '/v1/migration-templates', body);
    await print(run.format, answer, () => `published ${ref(answer as never)}`);
  };
  examples(
    action(template.command('create').argument('<name>').description('publish a version').requiredOption('-f, --file <file>', 'the spec as YAML or JSON, - for stdin'), async (run) =>
      published(run, { name: run.args[0], spec: await readDocument(run.options['file']) }),
    ),
    'template create small-to-large --file template.yaml',
  );
  examples(
    action(
      template
        .command('from-option')
        .argument('<name>')
        .description('publish a version from an option that a query offered')
        .requiredOption('--query <query>', 'the options query')
        .requiredOption('--option <option>', 'the id of the option')
        .option('-f, --file <file>', 'preMigration and postMigration steps to add, as YAML or JSON'),
      async (run) => {
        const steps = run.options['file'] ? ((await readDocument(run.options['file'])) as object) : {};
        await published(run, { name: run.args[0], fromOption: { queryId: run.options['query'], optionId: run.options['option'] }, ...steps });
      },
    ),
    'template from-option small-to-large --query q-… --option large@1:move:pre-copy:expose',
  );
};

const runCommands = (program: Command): void => {
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
  action(migration.command('get').argument('<migration>').description('a migration with the steps of its moves'), async ({ client, format, args }) => {
    const found = await client.request<Row>('GET', `/v1/migrations/${encodeURIComponent(args[0]!)}`);
    await print(format, found, () => migrationText(found));
  });
  examples(
    action(waits(migration.command('start').argument('<plan>').description('run a plan').option('--concurrency <n>', 'so many at a time', number)), (run) => startPlan(run, run.args[0]!)),
    'migration start plan-0199c0de-… --wait',
  );
  action(waits(migration.command('watch').argument('<migration>').description('show what happens until its end; exit code 0 if it succeeded')), (run) =>
    finish({ ...run, options: { ...run.options, wait: true } }, { migrationId: run.args[0], operation: run.args[0] }, ''),
  );
  action(
    waits(migration.command('cancel').argument('<migration>').description('no further move begins; what runs is undone while it can be').option('--reason <text>', 'why', 'by chrysalis migration cancel')),
    async (run) => {
      const answer = await run.client.request<Row>('POST', `/v1/migrations/${encodeURIComponent(run.args[0]!)}/cancel`, { reason: run.options['reason'] });
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
    ...(f ? [`  downtime ${f.downtimeMs} ms, in all ${f.totalMs} ms, ${mib(f.transferredBytes)} transferred, control plane ${f.controlPlaneMs} ms`] : []),
    ...(move['steps'].length
      ? [table({ '  section': (s) => `  ${s['section']}`, step: (s) => s['name'], state: (s) => s['state'], ms: (s) => s['ms'], what: (s) => s['cause']?.message ?? s['summary'] }, move['steps'])]
      : []),
  ].join('\n');
};
