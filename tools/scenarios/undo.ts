import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { consumerText, type Plan, type PlannedMove } from '@chrysalis/contracts';
import { createClient } from '@chrysalis/api-client';
import { tenantKey } from '../run/grant.ts';
import { qemuProcessesOf, spareMonitorOf } from '../fleet/processes.ts';
import { openRun, type Run } from '../fleet/run.ts';
import { createScreen } from '../fleet/screen.ts';
import { addressOf, hasEnded, journey, startServiceClient, Story, type MigrationView, type VmView } from '../fleet/story.ts';
import { verify } from '../verifier/verify.ts';
import type { Recorder, Scenario } from './scenario.ts';

type Step = PlannedMove['steps'][number];
type Bench = {
  readonly run: Run;
  readonly story: Story;
  readonly vm: VmView;
  readonly grantId: string;
  readonly template: string;
  readonly failpoints: string;
};

/**
 * One VM, moved again and again; each time another step fails: before it did anything, and after it did all but before it could say
 * so. Each time the VM has to be on its source with its old type, its client unharmed, nothing held, and the cause the injected one.
 */
export const undo = async ({ signal, say, record }: Recorder): Promise<void> => {
  const tenant = await tenantKey();
  const failpoints = path.join(process.cwd(), '.chrysalis', `failpoints-${process.pid}.json`);
  process.env['CHRYSALIS_FAILPOINTS'] = failpoints;
  const run = await openRun({
    distributed: false,
    trustedKeys: [tenant.publicJwk],
    say,
    environment: { CHRYSALIS_FAILPOINTS: failpoints, CHRYSALIS_LOG: process.env['CHRYSALIS_LOG'] ?? 'fatal' },
  });
  try {
    const api = createClient({ server: run.platform.adminUrl, token: run.platform.token });
    const story = new Story(run, api, createScreen(process.stderr), tenant);
    const hosts = await story.hostsUp();
    const vm = await story.provision('butterfly', hosts.find((h) => h.hostId.includes('old'))!.hostId);
    const grantId = await story.grant(vm.vmId);
    const granted = await story.options(vm.vmId, grantId);
    const made = await api.post('/v1/migration-templates', {
      body: {
        name: 'small-to-large',
        fromOption: { queryId: granted.queryId, optionId: story.optionTo('large', granted).id },
        ...journey,
      },
    });
    const bench: Bench = { run, story, vm, grantId, template: `${made.name}@${made.version}`, failpoints };
    const steps = beforeSwitchOver(await planFor(bench));
    say(`${steps.length} steps before the switch-over, each failing before and after its effect`);
    for (const [step, when] of steps.flatMap(
      (s) =>
        [
          [s, 'before'],
          [s, 'after'],
        ] as const,
    ))
      if (!signal.aborted) record(await failAt(bench, step, when));
  } finally {
    await run.stop();
  }
};

const planFor = ({ story, vm, template }: Bench): Promise<Plan> =>
  story.api.post('/v1/migration-plans', { body: { template, vmIds: [vm.vmId] } });

/** The transfer itself counts: until its fence is written it can be undone. After its effect it can't, by design. */
const beforeSwitchOver = (plan: Plan): Step[] => {
  const { steps } = plan.moves[0]!;
  return steps.slice(0, steps.findIndex((s) => s.kind === 'host.transfer') + 1);
};

const failAt = async (bench: Bench, step: Step, when: 'before' | 'after'): Promise<Scenario> => {
  const { story, vm, grantId, run } = bench;
  const startedAt = Date.now();
  const code = `injected.${step.name}`;
  const crossed = step.kind === 'host.transfer' && when === 'after';
  const point = crossed ? 'host:transfer:completed' : `task:${step.kind}:${when}`;
  const before = await story.guest(vm.vmId, grantId);
  const client = await startServiceClient(run, addressOf(vm.topology));
  const plan = await planFor(bench);
  writeFileSync(
    bench.failpoints,
    JSON.stringify({ [point]: { action: 'fail', code, where: crossed ? {} : { task: step.name, action: 'run' } } }),
  );
  const { migrationId } = await story.api.post('/v1/migrations', { body: { planId: plan.planId } });
  const ended = await finalState(bench, migrationId);
  writeFileSync(bench.failpoints, '{}');
  const after = await story.guest(vm.vmId, grantId);
  const service = await client.stop();
  const { items } = await story.api.get('/v1/allocations');
  const qemus = qemuProcessesOf(vm.topology.uuid);
  const findings = await verify({
    databaseUrl: run.platform.database.url,
    monitors: () => qemus.flatMap((q) => spareMonitorOf(q) ?? []),
  });
  const expected = {
    state: 'undone',
    cause: code,
    reached: true,
    guest: shape(before),
    holds: [`vm:${vm.vmId}@${before.host}`],
    qemus: 1,
    serviceErrors: 0,
    gapUnder1s: true,
  };
  const observed = {
    state: ended.state,
    cause: ended.cause?.code,
    reached: ended.moves[0]?.steps.some((s) => s.name === step.name && !['waiting', 'skipped', 'ready'].includes(s.state)) ?? false,
    guest: shape(after),
    holds: items.map((a) => `${consumerText(a.consumer)}@${a.hostId}`),
    qemus: qemus.length,
    serviceErrors: service.errors,
    gapUnder1s: service.longestGapMs < 1000,
  };
  const held = Object.values(findings.invariants).every(Boolean);
  const moment = crossed ? 'after the stream, before the fence is on the disk' : `${when} its effect`;
  return {
    name: `${step.section}/${step.name} fails ${moment}`,
    group: 'undo',
    driver: 'qemu',
    expected,
    observed: findings.faults.length > 0 ? { ...observed, faults: findings.faults } : observed,
    ok: held && JSON.stringify(expected) === JSON.stringify(observed),
    ms: Date.now() - startedAt,
    invariants: { ...findings.invariants, I8: ended.cause?.code === code },
  };
};

/** What of a guest and its place an undo has to bring back. */
const shape = ({ type, host, bootId, vcpus, memoryMiB, nics }: Awaited<ReturnType<Story['guest']>>): object => ({
  type,
  host,
  bootId,
  vcpus,
  memoryMiB,
  nics: nics.length,
});

const finalState = async ({ story }: Bench, migrationId: string): Promise<MigrationView> => {
  for (const end = Date.now() + 180_000; Date.now() < end; await sleep(50)) {
    const view = await story.api.get('/v1/migrations/{id}', { path: { id: migrationId } });
    if (hasEnded(view)) return view;
  }
  throw new Error(`migration ${migrationId} has no final state after 180 s`);
};
