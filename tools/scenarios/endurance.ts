import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@chrysalis/api-client';
import { tenantKey } from '../run/grant.ts';
import { qemuProcessesOf, spareMonitorOf } from '../fleet/processes.ts';
import { openRun, type Run } from '../fleet/run.ts';
import { createScreen } from '../fleet/screen.ts';
import { addressOf, hasEnded, journey, startServiceClient, Story, type MigrationView, type VmView } from '../fleet/story.ts';
import type { Guest } from '../fleet/views.ts';
import { verify } from '../verifier/verify.ts';
import { openShell, type Shell } from './provisioning/in-guest.ts';
import { beginLog, readLog } from './checksummed-log.ts';
import type { Recorder, Scenario } from './scenario.ts';

type Walk = {
  readonly run: Run;
  readonly story: Story;
  readonly vm: VmView;
  readonly grantId: string;
  readonly shell: Shell;
  /** By the type that it leads to. */
  readonly templates: Readonly<Record<'small' | 'large', string>>;
};

/**
 * One VM, back and forth between two hosts of unlike QEMUs, growing and shrinking with each move, while it serves HTTP and writes a log. One
 * scenario a move, and one for all of it.
 */
export const endurance = async ({ signal, rounds, say, record }: Recorder): Promise<void> => {
  const tenant = await tenantKey();
  const run = await openRun({ distributed: false, trustedKeys: [tenant.publicJwk], say });
  try {
    const api = createClient({ server: run.platform.adminUrl, token: run.platform.token });
    const story = new Story(run, api, createScreen(process.stderr), tenant);
    const hosts = await story.hostsUp();
    say(`hosts: ${hosts.map((h) => `${h.hostId} with QEMU ${h.facts.hypervisorVersion}`).join(', ')}`);
    const [source, target] = hosts.map((h) => h.hostId).sort((a) => (a.includes('old') ? -1 : 1)) as [string, string];
    const vm = await story.provision('butterfly', source);
    const shell = await openShell({ run, outside: { processes: (v) => qemuProcessesOf(v.topology.uuid) } }, vm);
    await beginLog(shell);
    const walk: Walk = { run, story, vm, grantId: await story.grant(vm.vmId), shell, templates: { small: '', large: '' } };
    const startedAt = Date.now();
    const client = await startServiceClient(run, addressOf(vm.topology));
    const first = await story.guest(vm.vmId, walk.grantId, source);
    const templates = { ...walk.templates };
    for (let n = 1; n <= rounds && !signal.aborted; n++) {
      const to = n % 2 === 1 ? 'large' : 'small';
      templates[to] ||= await templateTo(walk, to);
      record(
        await moved({ ...walk, templates }, { n, to, from: n % 2 === 1 ? source : target, host: n % 2 === 1 ? target : source, first }),
      );
    }
    record(await whole(walk, { rounds, startedAt, service: await client.stop(), first }));
  } finally {
    await run.stop();
  }
};

const templateTo = async ({ story, vm, grantId }: Walk, to: 'small' | 'large'): Promise<string> => {
  const granted = await story.options(vm.vmId, grantId);
  const fromOption = { queryId: granted.queryId, optionId: story.optionTo(to, granted).id };
  const made = await story.api.post('/v1/migration-templates', { body: { name: `to-${to}`, fromOption, ...journey } });
  return `${made.name}@${made.version}`;
};

type Leg = { readonly n: number; readonly to: 'small' | 'large'; readonly from: string; readonly host: string; readonly first: Guest };
const moved = async (walk: Walk, { n, to, from, host, first }: Leg): Promise<Scenario> => {
  const { run, story, vm, grantId, templates } = walk;
  const startedAt = Date.now();
  const client = await startServiceClient(run, addressOf(vm.topology));
  const plan = await story.api.post('/v1/migration-plans', { body: { template: templates[to], vmIds: [vm.vmId] } });
  const { migrationId } = await story.api.post('/v1/migrations', { body: { planId: plan.planId } });
  const ended = await finalState(story, migrationId);
  const after = await story.guest(vm.vmId, grantId, ended.state === 'succeeded' ? host : from);
  const service = await client.stop();
  const findings = await judged(walk);
  const large = { vcpus: 2, memoryMiB: first.memoryMiB + 512, nics: first.nics.length - 1 };
  const small = { vcpus: first.vcpus, memoryMiB: first.memoryMiB, nics: first.nics.length };
  const expected = {
    state: 'succeeded',
    on: `${to}@1 on ${host}`,
    bootId: first.bootId,
    ...(to === 'large' ? large : small),
    qemus: 1,
    serviceErrors: 0,
    connections: 1,
    gapUnder1s: true,
  };
  const { bootId, vcpus, memoryMiB, nics } = after;
  const observed = {
    state: ended.state,
    on: `${after.type} on ${after.host}`,
    ...{ bootId, vcpus, memoryMiB, nics: nics.length },
    qemus: qemuProcessesOf(vm.topology.uuid).length,
    serviceErrors: service.errors,
    connections: service.connections,
    gapUnder1s: service.longestGapMs < 1000,
  };
  const same = JSON.stringify(expected) === JSON.stringify(observed);
  return {
    name: `move ${n} of a walk, to ${to}`,
    ...common(findings, startedAt),
    expected,
    observed: {
      ...observed,
      ...(same ? {} : { gapMs: service.longestGapMs, cause: ended.cause }),
      ...(findings.faults.length > 0 ? { faults: findings.faults } : {}),
    },
    ok: same && Object.values(findings.invariants).every(Boolean),
  };
};

type End = {
  readonly rounds: number;
  readonly startedAt: number;
  readonly service: { readonly errors: number; readonly connections: number };
  readonly first: Guest;
};
const whole = async (walk: Walk, { rounds, startedAt, service, first }: End): Promise<Scenario> => {
  const { shell, story, vm, grantId } = walk;
  const { written, wrongLines, lostLines } = await readLog(shell);
  const { bootId } = await story.guest(vm.vmId, grantId);
  const findings = await judged(walk);
  const expected = { moves: rounds, bootId: first.bootId, serviceErrors: 0, connections: 1, wrongLines: 0, lostLines: 0 };
  const observed = {
    moves: rounds,
    bootId,
    serviceErrors: service.errors,
    connections: service.connections,
    wrongLines,
    lostLines,
  };
  return {
    name: `a walk of ${rounds} moves, as its client and its log saw it`,
    ...common(findings, startedAt),
    expected,
    observed: { ...observed, ...(findings.faults.length > 0 ? { faults: findings.faults } : {}) },
    ok: written > 0 && JSON.stringify(expected) === JSON.stringify(observed) && Object.values(findings.invariants).every(Boolean),
  };
};

const judged = ({ run, vm }: Walk) =>
  verify({
    databaseUrl: run.platform.database.url,
    monitors: () => qemuProcessesOf(vm.topology.uuid).flatMap((q) => spareMonitorOf(q) ?? []),
  });

const common = ({ invariants }: Awaited<ReturnType<typeof judged>>, startedAt: number) =>
  ({ group: 'endurance', driver: 'qemu', ms: Date.now() - startedAt, invariants }) as const;

const finalState = async ({ api }: Story, migrationId: string): Promise<MigrationView> => {
  for (const end = Date.now() + 180_000; Date.now() < end; await sleep(50)) {
    const view = await api.get('/v1/migrations/{id}', { path: { id: migrationId } });
    if (hasEnded(view)) return view;
  }
  throw new Error(`migration ${migrationId} has no final state after 180 s`);
};
