import { contexts, refText } from '@chrysalis/contracts';
import type { Client, PlanMade } from '@chrysalis/api-client';
import pg from 'pg';
import { startServiceClient } from '../fleet/client.ts';
import type { ServiceName } from '../run/platform.ts';
import type { TenantKey } from '../run/grant.ts';
import { groundOf } from '../fleet/ground.ts';
import { DemoReport, judge, judgeBack, version } from './report.ts';
import type { Run } from '../fleet/run.ts';
import type { Screen } from '../fleet/screen.ts';
import { showHosts, showPlan, showReport } from './show.ts';
import { journey, Story, type OptionsView, type VmView } from '../fleet/story.ts';
import type { ServiceSeen } from '../fleet/service-client.ts';
import { timesOf, type Timeline } from './timeline.ts';
import { watch, type Watched } from './watch.ts';

type Demo = {
  readonly run: Run;
  readonly api: Client;
  readonly screen: Screen;
  readonly tenant: TenantKey;
  readonly kill: ServiceName | undefined;
  readonly maxGapMs: number;
  /** And back again. */
  readonly back: boolean;
};

/** The whole story, from an empty control plane to the report, and when things were in it. */
export const demonstrate = async (demo: Demo): Promise<{ report: DemoReport; timeline: Timeline }> => {
  const { run, api, screen, kill, maxGapMs } = demo;
  const ground = groundOf(run);
  const story = new Story(run, api, screen, demo.tenant);
  const hosts = await story.hostsUp();
  showGround(demo, ground, hosts);

  screen.title('A VM of type small');
  const source = hosts.find((h) => h.hostId.includes('old'))!.hostId;
  const target = hosts.find((h) => h.hostId !== source)!.hostId;
  const vm = await story.provision('butterfly', source);
  const urls = ground.serviceUrls(vm);
  screen.line(`${vm.vmId} runs on ${vm.hostId} as ${refText(vm.type)}; its service answers at ${urls.join(' or ')}`);
  const client = await startServiceClient(run, urls);

  const { without, granted, grantId } = await askedFor(screen, story, vm.vmId);
  const told = { demo, story, ground, vm, grantId };
  const there = await travelled({ ...told, from: source, to: target, kill, template: 'small-to-large' }, granted, client);
  const hostsWithVm = ground.hostsWith(vm);
  const home = demo.back && there.outcome.state === 'succeeded' ? await backHome(told, target, source) : undefined;

  const last = home ?? there;
  const ledger = await story.settled(
    () => story.ledger(),
    (held) => held.length > 0 && held.every((a) => a.host === last.after.host),
  );
  const events = await countEvents(run.platform.database.url);
  const observed = {
    vm: { id: vm.vmId, before: there.before, after: there.after },
    service: there.service,
    options: { withoutGrant: without.options.map((o) => o.id), withGrant: granted.options.map((o) => o.id) },
    migration: there.outcome,
    ...(home ? { back: partsOf(home) } : {}),
    ledger,
  };
  const seen = { targetHost: target, killed: kill, maxGapMs, driver: hosts[0]!.facts.driver, hostsWithVm, back: observed.back };
  const verdict = { ...observed, ...seen, hostsAfterBack: home && ground.hostsWith(vm) };
  const checks = [...judge(verdict), ...(demo.back ? judgeBack(verdict) : [])];
  const report: DemoReport = {
    chrysalis: version,
    ok: checks.every((c) => c.ok),
    ...groundIn(demo, ground, hosts),
    ...observed,
    steps: there.steps,
    events,
    ...(kill ? { killed: kill } : {}),
    checks,
  };
  showReport(screen, report);
  return { report: DemoReport.parse(report), timeline: there.timeline };
};

type Client1 = Awaited<ReturnType<typeof startServiceClient>>;
type Told = {
  readonly demo: Demo;
  readonly story: Story;
  readonly ground: ReturnType<typeof groundOf>;
  readonly vm: VmView;
  readonly grantId: string;
};
type Leg = Told & { readonly from: string; readonly to: string; readonly kill: ServiceName | undefined; readonly template: string };
type Travelled = Awaited<ReturnType<typeof travelled>>;

/** One move, as the guest and the client saw it. */
const travelled = async (leg: Leg, granted: OptionsView, client: Client1) => {
  const { demo, story, vm, ground, grantId, from, to } = leg;
  const { api, screen } = demo;
  const before = await story.guest(vm.vmId, grantId, from);
  const option = story.optionTo(leg.template.split('-to-')[1]!, granted);
  const plan = await planned(demo, vm.vmId, leg.template, { queryId: granted.queryId, optionId: option.id });

  screen.title(leg.template === 'small-to-large' ? 'The move' : 'The move back');
  const requestedAt = Date.now();
  const { migrationId } = await api.post('/v1/migrations', { body: { planId: plan.planId } });
  const watched = await watch({ ...demo, kill: leg.kill }, migrationId);
  const { migration } = watched;
  screen.line(`${migration.state}${migration.cause ? `: ${migration.cause.code}: ${migration.cause.message}` : ''}`);

  const after = await story.guest(vm.vmId, grantId, migration.state === 'succeeded' ? to : from);
  const answers = await client.stop();
  const timeline = await timelineOf(api, requestedAt, watched, answers);
  const service = { means: ground.service, follows: ground.follows, ...answersOf(answers) };
  const outcome = { id: migrationId, method: option.method, ...outcomeOf(migration) };
  return { before, after, service, outcome, steps: stepsOf(migration, timeline), timeline };
};

/** To the type and the host that it came from: what was plugged goes, what was taken comes back. */
const backHome = async (told: Told, from: string, to: string): Promise<Travelled> => {
  const { demo, story, ground, vm, grantId } = told;
  demo.screen.title('And back?');
  const client = await startServiceClient(demo.run, ground.serviceUrls(vm));
  const granted = await story.options(vm.vmId, grantId);
  demo.screen.line(`${granted.options.length} options (${granted.options.map((o) => o.id).join(', ')})`);
  return travelled({ ...told, from, to, kill: undefined, template: 'large-to-small' }, granted, client);
};

const partsOf = ({ before, after, service, outcome, steps }: Travelled): DemoReport['back'] => ({
  before,
  after,
  service,
  migration: outcome,
  steps,
});

type Hosts = Awaited<ReturnType<Story['hostsUp']>>;
const showGround = ({ run: { platform }, screen }: Demo, ground: ReturnType<typeof groundOf>, hosts: Hosts): void => {
  const { driver, accelerator } = hosts[0]!.facts;
  const versions = [...new Set(hosts.map((h) => h.facts.hypervisorVersion))].join(' and ');
  screen.line(`network: ${ground.network}`);
  screen.line(`service: ${ground.service}`);
  for (const text of ground.simulated ?? []) screen.line(`simulated ${text}`);
  screen.line(
    `hypervisor ${driver === 'simulated' ? '' : `${driver} `}${versions} (accelerator ${accelerator}); ${platform.mode}, bus ${[platform.bus.kind, platform.bus.version].filter(Boolean).join(' ')}, PostgreSQL ${platform.database.version}`,
  );
  showHosts(screen, hosts);
};

const outcomeOf = ({ state, cause, moves }: Watched['migration']) => {
  const { downtimeMs, ...measured } = moves[0]!.figures ?? { downtimeMs: 0, totalMs: 0, transferredBytes: 0, controlPlaneMs: 0 };
  return {
    state: state as 'succeeded' | 'undone' | 'failed',
    ...measured,
    downtimeMs: Math.round(downtimeMs * 10) / 10,
    ...(cause ? { cause: cause.code } : {}),
  };
};

/** What the report says of the machines and services. */
const groundIn = ({ run: { platform } }: Demo, ground: ReturnType<typeof groundOf>, hosts: Hosts) => {
  const { driver, accelerator, hypervisorVersion } = hosts[0]!.facts;
  return {
    mode: platform.mode,
    bus: platform.bus,
    database: { kind: 'postgresql' as const, version: platform.database.version },
    hypervisor: { driver, version: hypervisorVersion, accelerator },
    network: ground.network,
    ...(ground.simulated ? { simulated: [...ground.simulated] } : {}),
    hosts: hosts.map(({ hostId: id, facts: f }) => ({
      id,
      address: f.address,
      version: f.hypervisorVersion,
      traits: f.traits,
      inventory: f.inventory,
    })),
  };
};

/** The options without authorisation, and with a grant. */
const askedFor = async (screen: Screen, story: Story, vmId: string) => {
  screen.title('Where can it go?');
  const without = await story.options(vmId);
  screen.line(`without authorisation: ${without.options.length} (${without.options.map((o) => o.id).join(', ')})`);
  for (const r of without.refused.slice(0, 4)) screen.line(`  not ${r.id}: ${r.blockers[0]!.message}`);
  const grantId = await story.grant(vmId);
  const granted = await story.options(vmId, grantId);
  screen.line(
    `with a grant, the migration agent added to the running VM: ${granted.options.length} (${granted.options.map((o) => o.id).join(', ')})`,
  );
  return { without, granted, grantId };
};

type FromOption = { readonly queryId: string; readonly optionId: string };
const planned = async ({ api, screen }: Demo, vmId: string, name: string, fromOption: FromOption): Promise<PlanMade> => {
  screen.title('Template and plan');
  const template = await api.post('/v1/migration-templates', { body: { name, fromOption, ...journey } });
  const plan = await api.post('/v1/migration-plans', { body: { template: refText(template), vmIds: [vmId] } });
  showPlan(screen, plan);
  return plan;
};

const answersOf = ({ requests, errors, connections, longestGapMs, p50Ms, p99Ms }: ServiceSeen) => ({
  requests,
  errors,
  connections,
  longestGapMs,
  p50Ms,
  p99Ms,
});

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

const stepsOf = ({ moves }: Watched['migration'], timeline: Timeline): DemoReport['steps'] =>
  moves[0]!.steps.map(({ section, name, state, ms = 0 }) => ({ section, name, state: stepState(state), ms, ...at(timeline, name) }));

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
      byContext[c] = Number((await client.query<{ n: string }>(`select count(*) as n from ${c.replaceAll('-', '_')}.events`)).rows[0]!.n);
    return { total: Object.values(byContext).reduce((a, b) => a + b, 0), byContext };
  } finally {
    await client.end();
  }
};
