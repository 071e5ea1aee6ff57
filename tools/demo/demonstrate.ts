import { contexts, refText } from '@chrysalis/contracts';
import type { Client } from '@chrysalis/api-client';
import pg from 'pg';
import { startServiceClient } from '../fleet/client.ts';
import type { ServiceName } from '../run/platform.ts';
import type { TenantKey } from '../run/grant.ts';
import { groundOf } from '../fleet/ground.ts';
import { DemoReport, judge, version } from './report.ts';
import type { Run } from '../fleet/run.ts';
import type { Screen } from '../fleet/screen.ts';
import { showHosts, showPlan, showReport } from './show.ts';
import { journey, Story } from '../fleet/story.ts';
import type { ServiceSeen } from '../fleet/service-client.ts';
import { timesOf, type Timeline } from './timeline.ts';
import { watch, type Watched } from './watch.ts';

type Demo = {
  readonly run: Run;
  readonly api: Client;
  readonly screen: Screen;
  readonly tenant: TenantKey;
  readonly kill: ServiceName | undefined;
};

/** The whole story, from an empty control plane to the report, and when things were in it. */
export const demonstrate = async (demo: Demo): Promise<{ report: DemoReport; timeline: Timeline }> => {
  const { run, api, screen, kill } = demo;
  const ground = groundOf(run);
  const story = new Story(run, api, screen, demo.tenant);
  const hosts = await story.hostsUp();
  const { driver, accelerator, hypervisorVersion } = hosts[0]!.facts;
  screen.line(`network: ${ground.network}`);
  screen.line(`service: ${ground.service}`);
  for (const text of ground.simulated ?? []) screen.line(`simulated ${text}`);
  screen.line(
    `hypervisor ${driver === 'simulated' ? '' : `${driver} `}${hypervisorVersion} (accelerator ${accelerator}); ${run.platform.mode}, bus ${[run.platform.bus.kind, run.platform.bus.version].filter(Boolean).join(' ')}, PostgreSQL ${run.platform.database.version}`,
  );
  showHosts(screen, hosts);

  screen.title('A VM of type small');
  const source = hosts.find((h) => h.hostId.includes('old'))!.hostId;
  const target = hosts.find((h) => h.hostId !== source)!.hostId;
  const vm = await story.provision('butterfly', source);
  const urls = ground.serviceUrls(vm);
  screen.line(`${vm.vmId} runs on ${vm.hostId} as ${refText(vm.type)}; its service answers at ${urls.join(' or ')}`);
  const client = await startServiceClient(run, urls);

  screen.title('Where can it go?');
  const without = await story.options(vm.vmId);
  screen.line(`without authorisation: ${without.options.length} (${without.options.map((o) => o.id).join(', ')})`);
  for (const r of without.refused.slice(0, 4)) screen.line(`  not ${r.id}: ${r.blockers[0]!.message}`);
  const grantId = await story.grant(vm.vmId);
  const granted = await story.options(vm.vmId, grantId);
  screen.line(
    `with a grant, the migration agent added to the running VM: ${granted.options.length} (${granted.options.map((o) => o.id).join(', ')})`,
  );
  const before = await story.guest(vm.vmId, grantId, source);
  const option = story.optionToLarge(granted);

  screen.title('Template and plan');
  const template = await api.post('/v1/migration-templates', {
    body: {
      name: 'small-to-large',
      fromOption: { queryId: granted.queryId, optionId: option.id },
      ...journey,
    },
  });
  const plan = await api.post('/v1/migration-plans', { body: { template: refText(template), vmIds: [vm.vmId] } });
  showPlan(screen, plan);

  screen.title('The move');
  const requestedAt = Date.now();
  const { migrationId } = await api.post('/v1/migrations', { body: { planId: plan.planId } });
  const watched = await watch(demo, migrationId);
  const { migration } = watched;
  const move = migration.moves[0]!;
  screen.line(`${migration.state}${migration.cause ? `: ${migration.cause.code}: ${migration.cause.message}` : ''}`);

  const expected = migration.state === 'succeeded' ? target : source;
  const after = await story.guest(vm.vmId, grantId, expected);
  const service = await client.stop();
  const ledger = await story.settled(
    () => story.ledger(),
    (held) => held.length > 0 && held.every((a) => a.host === expected),
  );
  const events = await countEvents(run.platform.database.url);
  const timeline = await timelineOf(api, requestedAt, watched, service);
  const { downtimeMs, ...measured } = move.figures ?? { downtimeMs: 0, totalMs: 0, transferredBytes: 0, controlPlaneMs: 0 };
  const figures = { ...measured, downtimeMs: Math.round(downtimeMs * 10) / 10 };
  const observed = {
    vm: { id: vm.vmId, before, after },
    service: {
      means: ground.service,
      follows: ground.follows,
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
    driver,
    hostsWithVm: ground.hostsWith(vm),
  });
  const report: DemoReport = {
    chrysalis: version,
    ok: checks.every((c) => c.ok),
    mode: run.platform.mode,
    bus: run.platform.bus,
    database: { kind: 'postgresql', version: run.platform.database.version },
    hypervisor: { driver, version: hypervisorVersion, accelerator },
    network: ground.network,
    ...(ground.simulated ? { simulated: [...ground.simulated] } : {}),
    hosts: hosts.map((h) => ({ id: h.hostId, address: h.facts.address, traits: h.facts.traits, inventory: h.facts.inventory })),
    ...observed,
    steps: move.steps.map((s) => ({ section: s.section, name: s.name, state: stepState(s.state), ms: s.ms ?? 0, ...at(timeline, s.name) })),
    events,
    ...(kill ? { killed: kill } : {}),
    checks,
  };
  showReport(screen, report);
  return { report: DemoReport.parse(report), timeline };
};

const timelineOf = async (api: Client, requestedAt: number, w: Watched, service: ServiceSeen): Promise<Timeline> => {
  const { endedAt, moves } = w.migration;
  const { items } = await api.get('/v1/workflows/{id}/history', { path: { id: moves[0]!.workflowId } });
  const gapTo = Date.parse(service.longestGapAt); // none where it had but one answer
  return {
    requestedAt,
    endedAt: Date.parse(endedAt),
    ...(w.killedAt === undefined ? {} : { killedAt: w.killedAt }),
    ...timesOf(items),
    samples: service.samples,
    ...(Number.isNaN(gapTo) ? {} : { longestGap: { from: gapTo - service.longestGapMs, to: gapTo } }),
  };
};

const at = ({ steps }: Timeline, name: string): { startedAt?: string } => {
  const from = steps.get(name)?.ran?.from;
  return from === undefined ? {} : { startedAt: new Date(from).toISOString() };
};

const stepState = (state: string): 'done' | 'undone' | 'failed' | 'skipped' => {
  if (state === 'done' || state === 'succeeded') return 'done';
  if (state === 'undone' || state === 'compensated') return 'undone';
  return state === 'failed' ? 'failed' : 'skipped';
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
