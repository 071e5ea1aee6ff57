import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@chrysalis/api-client';
import { ensureGuestImage } from '../../infra/guest/image.ts';
import { ensureAgentPackage } from '../../infra/guest/agent-package.ts';
import { tenantKey } from '../run/grant.ts';
import { openRun } from '../fleet/run.ts';
import { createScreen } from '../fleet/screen.ts';
import { journey, Story } from '../fleet/story.ts';
import { cacheDir } from '../run/platform.ts';
import { needNamespaces } from '../run/privileges.ts';
import { atEnd } from '../run/tool.ts';
import { bareMove, type Figures } from './move/bare.ts';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';

const PAIRS = 10;

/** The same hardware, steps and order, once through the control plane and once by a script over raw QMP, in turn; a new VM each time. */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  process.env['CHRYSALIS_LOG'] ??= 'fatal';
  const pairs = Math.max(PAIRS, rounds);
  const tenant = await tenantKey();
  await needNamespaces({ trustedKeys: [tenant.publicJwk], distributed: false, say: progress });
  const run = await openRun({ distributed: false, trustedKeys: [tenant.publicJwk], say: progress });
  const dir = mkdtempSync(path.join(tmpdir(), 'chyb-'));
  atEnd(async () => rmSync(dir, { recursive: true, force: true }));
  try {
    const api = createClient({ server: run.platform.adminUrl, token: run.platform.token });
    const story = new Story(run, api, createScreen(process.stderr), tenant);
    const hosts = await story.hostsUp();
    const from = hosts.find((h) => h.hostId.includes('old'))!.hostId;
    const [image, agentPackage] = await Promise.all([
      ensureGuestImage({ cacheDir, trustedKeys: [tenant.publicJwk] }),
      ensureAgentPackage({ cacheDir }),
    ]);
    const ours: Figures[] = [];
    const bare: Figures[] = [];
    let template: string | undefined;
    for (let i = 0; i < pairs; i++) {
      const vm = await story.provision(`bench-${i}`, from);
      const { topology } = vm;
      const chrysalis = async (): Promise<void> => {
        const granted = await story.options(vm.vmId, await story.grant(vm.vmId));
        template ??= await makeTemplate(api, granted.queryId, story.optionTo('large', granted).id);
        const made = await api.post('/v1/migration-plans', { body: { template, vmIds: [vm.vmId] } });
        ours.push(await moved(api, made.planId));
        await story.finished((await api.delete('/v1/vms/{id}', { path: { id: vm.vmId }, body: {} })).operation, 30_000);
      };
      const script = async (): Promise<void> =>
        void bare.push(await bareMove({ fabric: run.fabric, dir, topology, image, agentPackage, tenant }, i));
      // One VM at a time, and the order turns, so that neither always has the warmer machine.
      if (i % 2 === 0) await chrysalis().then(script);
      else await script().then(chrysalis);
      progress(
        `pair ${i + 1}: Chrysalis ${ours[i]!.totalMs.toFixed(0)} ms (downtime ${ours[i]!.downtimeMs.toFixed(0)}), bare ${bare[i]!.totalMs.toFixed(0)} ms (${bare[i]!.downtimeMs.toFixed(0)})`,
      );
    }
    return conclude(ours, bare, pairs);
  } finally {
    await run.stop();
  }
};

const makeTemplate = async (api: ReturnType<typeof createClient>, queryId: string, optionId: string): Promise<string> => {
  const made = await api.post('/v1/migration-templates', {
    body: {
      name: 'bench',
      fromOption: { queryId, optionId },
      ...journey,
    },
  });
  return `${made.name}@${made.version}`;
};

/** From the command to the final state, as the event log has it; downtime from STOP at the source to RESUME at the target. */
const moved = async (api: ReturnType<typeof createClient>, planId: string): Promise<Figures> => {
  const startedAt = performance.now();
  const { migrationId } = await api.post('/v1/migrations', { body: { planId } });
  const end = await api.waitOperation(migrationId, { timeoutMs: 120_000 });
  const totalMs = performance.now() - startedAt;
  if (end.state !== 'succeeded') throw new Error(`the move ended ${end.state}: ${JSON.stringify(end.cause)}`);
  for (; ; await sleep(20)) {
    const view = await api.get('/v1/migrations/{id}', { path: { id: migrationId } });
    const figures = view.moves[0]?.figures;
    if (figures) return { totalMs, downtimeMs: figures.downtimeMs };
  }
};

const conclude = (ours: readonly Figures[], bare: readonly Figures[], pairs: number): Report => {
  const { version } = JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string };
  const qemu = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' })
    .split('\n')[0]!
    .replace(/.*version ([\d.]+).*/, '$1');
  const ratios = ours.map((o, i) => o.totalMs / bare[i]!.totalMs);
  const added = ours.map((o, i) => o.downtimeMs - bare[i]!.downtimeMs);
  const of = (list: readonly Figures[], key: keyof Figures): number[] => list.map((f) => f[key]);
  return report(
    'move',
    pairs,
    { qemu, accelerator: 'tcg' },
    [
      contender('Chrysalis, total', version, 'ms', of(ours, 'totalMs')),
      contender('bare QMP script, total', qemu, 'ms', of(bare, 'totalMs')),
      contender('Chrysalis, downtime', version, 'ms', of(ours, 'downtimeMs')),
      contender('bare QMP script, downtime', qemu, 'ms', of(bare, 'downtimeMs')),
    ],
    [
      target('total, ratio to the bare script (median of pairs)', median(ratios), '<=', 1.1),
      target('downtime added, ms (median of pairs)', median(added), '<=', 10),
    ],
    { ratios, added },
  );
};
