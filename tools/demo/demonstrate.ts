import { setTimeout as sleep } from 'node:timers/promises';
import { consumerText, contexts, refText, type Consumer, type Plan } from '@chrysalis/contracts';
import type { Client } from '@chrysalis/cli-app';
import pg from 'pg';
import type { ServiceName } from '../run/platform.ts';
import type { TenantKey } from './grant.ts';
import { netnsOf, qemuProcessesOf } from './processes.ts';
import { DemoReport, judge, version } from './report.ts';
import type { Run } from './run.ts';
import { bar, mib, table, type Screen } from './screen.ts';
import { addressOf, journey, startServiceClient, Story, type MigrationView } from './story.ts';

type Demo = {
  readonly run: Run;
  readonly api: Client;
  readonly screen: Screen;
  readonly tenant: TenantKey;
  readonly kill: ServiceName | undefined;
};
const MOVE_DEADLINE_MS = 180_000;

/** The whole story, from an empty control plane to the report. */
export const demonstrate = async (demo: Demo): Promise<DemoReport> => {
  const { run, api, screen, kill } = demo;
  const story = new Story(run, api, screen, demo.tenant);
  const hosts = await story.hostsUp();
  const { driver, accelerator, hypervisorVersion } = hosts[0]!.facts;
  screen.line(
    `hypervisor ${driver} ${hypervisorVersion} (${accelerator}); ${run.platform.mode}, bus ${run.platform.bus.kind} ${run.platform.bus.version ?? ''}, PostgreSQL ${run.platform.database.version}`,
  );
  screen.title('Two unlike hosts');
  for (const row of table([
    ['host', 'address', 'CPU models', 'memory', 'traits'],
    ...hosts.map((h) => [
      h.hostId,
      h.facts.address,
      h.facts.cpuModels.join(' '),
      `${h.facts.inventory.memoryMiB.total} MiB`,
      h.facts.traits.join(' '),
    ]),
  ]))
    screen.line(row);

  screen.title('A VM of type small');
  const source = hosts.find((h) => h.hostId.includes('old'))!.hostId;
  const target = hosts.find((h) => h.hostId !== source)!.hostId;
  const vm = await story.provision('butterfly', source);
  const address = addressOf(vm.topology);
  screen.line(`${vm.vmId} runs on ${vm.hostId} as ${refText(vm.type)}; its service answers at http://${address}/`);
  const client = await startServiceClient(run, address);

  screen.title('Where can it go?');
  const without = await story.options(vm.vmId);
  screen.line(`without authorisation: ${without.options.length} (${without.options.map((o) => o.id).join(', ')})`);
  for (const r of without.refused.slice(0, 4)) screen.line(`  not ${r.id}: ${r.blockers[0]!.message}`);
  const grantId = await story.grant(vm.vmId);
  const granted = await story.options(vm.vmId, grantId);
  screen.line(
    `with a grant, the migration agent added to the running VM: ${granted.options.length} (${granted.options.map((o) => o.id).join(', ')})`,
  );
  const before = await story.guest(vm.vmId, grantId);
  const option = story.optionToLarge(granted);

  screen.title('Template and plan');
  const template = await api.request<{ name: string; version: number }>('POST', '/v1/migration-templates', {
    name: 'small-to-large',
    fromOption: { queryId: granted.queryId, optionId: option.id },
    ...journey,
  });
  const made = await api.request<Plan | { plan: Plan }>('POST', '/v1/migration-plans', {
    template: `${template.name}@${template.version}`,
    vmIds: [vm.vmId],
  });
  const plan = 'plan' in made ? made.plan : made;
  for (const move of plan.moves) {
    screen.line(`${move.vmId}: ${refText(move.fromType)}@${move.fromHost} -> ${refText(move.toType)}@${move.toHost}`);
    for (const row of table(move.steps.map((s) => [s.section, s.name, s.summary]))) screen.line(`  ${row}`);
    for (const b of move.blockers) screen.line(`  blocked: ${b.code}: ${b.message}`);
  }

  screen.title('The move');
  const { migrationId } = await api.request<{ migrationId: string }>('POST', '/v1/migrations', { planId: plan.planId });
  const migration = await watch(demo, migrationId, target);
  const move = migration.moves[0]!;
  screen.line(`${migration.state}${migration.cause ? `: ${migration.cause.code}: ${migration.cause.message}` : ''}`);

  const after = await story.guest(vm.vmId, grantId);
  const service = await client.stop();
  const { items: allocations } = await api.request<{
    items: { hostId: string; consumer: Consumer | string; vcpu: number; memoryMiB: number }[];
  }>('GET', '/v1/allocations');
  const ledger = allocations.map((a) => ({
    host: a.hostId,
    consumer: typeof a.consumer === 'string' ? a.consumer : consumerText(a.consumer),
    vcpu: a.vcpu,
    memoryMiB: a.memoryMiB,
  }));
  const running = qemuProcessesOf(vm.topology.uuid);
  const targetNetns = netnsOf(run.hosts.agents.find((a) => a.hostId === target)!.pid()!);
  const events = await countEvents(run.platform.database.url);
  const { downtimeMs, ...measured } = move.figures ?? { downtimeMs: 0, totalMs: 0, transferredBytes: 0, controlPlaneMs: 0 };
  const figures = { ...measured, downtimeMs: Math.round(downtimeMs * 10) / 10 };
  const observed = {
    vm: { id: vm.vmId, before, after },
    service: {
      requests: service.requests,
      errors: service.errors,
      connections: service.connections,
      longestGapMs: service.longestGapMs,
      p50Ms: service.p50Ms,
      p99Ms: service.p99Ms,
    },
    options: { withoutGrant: without.options.map((o) => o.id), withGrant: granted.options.map((o) => o.id) },
    migration: {
      id: migrationId,
      state: migration.state as 'succeeded' | 'undone' | 'failed',
      method: option.method,
      ...figures,
      ...(migration.cause ? { cause: migration.cause.code } : {}),
    },
    ledger,
  };
  const checks = judge({
    ...observed,
    targetHost: target,
    killed: kill,
    sourceQemuGone: running.length === 1 && running[0]!.netns === targetNetns,
  });
  const report: DemoReport = {
    chrysalis: version,
    ok: checks.every((c) => c.ok),
    mode: run.platform.mode,
    bus: run.platform.bus,
    database: { kind: 'postgresql', version: run.platform.database.version },
    hypervisor: { driver, version: hypervisorVersion, accelerator },
    network: 'a network namespace per host, joined by a bridge',
    hosts: hosts.map((h) => ({ id: h.hostId, address: h.facts.address, traits: h.facts.traits, inventory: h.facts.inventory })),
    ...observed,
    steps: move.steps.map((s) => ({ section: s.section, name: s.name, state: stepState(s.state), ms: s.ms ?? 0 })),
    events,
    ...(kill ? { killed: kill } : {}),
    checks,
  };
  show(screen, report);
  return DemoReport.parse(report);
};

const stepState = (state: string): 'done' | 'undone' | 'failed' | 'skipped' => {
  if (state === 'done' || state === 'succeeded') return 'done';
  if (state === 'undone' || state === 'compensated') return 'undone';
  return state === 'failed' ? 'failed' : 'skipped';
};

/** Until the migration is in a final state; shows phase, bytes remaining and dirty rate; kills the service that was asked for once the move is under way. */
const watch = async ({ run, api, screen, kill }: Demo, migrationId: string, target: string): Promise<MigrationView> => {
  const abort = new AbortController();
  void showProgress(api, screen, abort.signal);
  let killed = kill === undefined;
  let shown = '';
  try {
    for (const end = Date.now() + MOVE_DEADLINE_MS; Date.now() < end; await sleep(50)) {
      const view = await api.request<MigrationView>('GET', `/v1/migrations/${migrationId}`);
      const steps = view.moves[0]?.steps ?? [];
      const done = steps.filter((s) => s.state === 'done' || s.state === 'succeeded');
      const now = steps.filter((s) => ['running', 'dispatched', 'retrying', 'compensating'].includes(s.state)).map((s) => s.name);
      const text = `${bar(done.length, steps.length)} ${done.length}/${steps.length}  ${now.join(', ')}`;
      if (text !== shown) screen.live((shown = text));
      if (!killed && done.some((s) => s.section === 'pre-migration')) {
        killed = true;
        screen.line(`SIGKILL to ${kill!}`);
        await run.platform.kill!(kill!);
      }
      if (view.state !== 'running' && view.state !== 'requested') return view;
    }
  } finally {
    abort.abort();
    screen.settle();
  }
  throw new Error(`the migration to ${target} had no final state after ${MOVE_DEADLINE_MS / 1000} s`);
};

const showProgress = async (api: Client, screen: Screen, signal: AbortSignal): Promise<void> => {
  try {
    for await (const p of api.progress({ signal }))
      screen.live(
        `${p.phase}: ${mib(p.bytesRemaining)} of ${mib(p.bytesTotal)} remain, ${p.mbps.toFixed(0)} Mbit/s, ${p.dirtyPagesPerSecond} dirty pages/s`,
      );
  } catch {
    // telemetry may be lost; the migration's state is asked for apart from it
  }
};

/** From the event tables themselves, not from a read model that might have missed one. */
const countEvents = async (url: string): Promise<DemoReport['events']> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const byContext: Record<string, number> = {};
    for (const c of contexts)
      byContext[c] = Number((await client.query(`select count(*) as n from ${c.replaceAll('-', '_')}.events`)).rows[0].n);
    return { total: Object.values(byContext).reduce((a, b) => a + b, 0), byContext };
  } finally {
    await client.end();
  }
};

const show = (screen: Screen, r: DemoReport): void => {
  screen.title('As the guest says');
  const { before: b, after: a } = r.vm;
  const rows = [
    ['', 'before', 'after'],
    ['type @ host', `${b.type} @ ${b.host}`, `${a.type} @ ${a.host}`],
    ['boot id', b.bootId, a.bootId],
    ['uptime', `${b.uptimeSeconds} s`, `${a.uptimeSeconds} s`],
    ['CPUs online', String(b.vcpus), String(a.vcpus)],
    ['memory online', `${b.memoryMiB} MiB`, `${a.memoryMiB} MiB`],
    ['data file system', mib(b.fileSystemBytes), mib(a.fileSystemBytes)],
    ['NICs', b.nics.join(' '), a.nics.join(' ')],
  ];
  for (const row of table(rows)) screen.line(row);
  screen.title('As the client saw it');
  screen.line(
    `${r.service.requests} requests on ${r.service.connections} connection, ${r.service.errors} errors, largest gap ${r.service.longestGapMs} ms (median answer ${r.service.p50Ms} ms)`,
  );
  screen.line(
    `downtime ${r.migration.downtimeMs} ms; QEMU's transfer ${r.migration.totalMs} ms, ${mib(r.migration.transferredBytes)}; the control plane's own time ${r.migration.controlPlaneMs} ms; ${r.events.total} events`,
  );
  screen.title('Checks');
  for (const c of r.checks)
    screen.line(
      `${c.ok ? 'ok  ' : 'FAIL'} ${c.name}${c.ok ? '' : `: expected ${JSON.stringify(c.expected)}, observed ${JSON.stringify(c.observed)}`}`,
    );
  screen.line(
    `${r.ok ? 'All hold' : 'NOT all hold'}: ${r.hypervisor.driver} ${r.hypervisor.version} (${r.hypervisor.accelerator}), ${r.mode}, bus ${r.bus.kind}`,
  );
};
