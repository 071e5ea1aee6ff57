import type { Plan } from '@chrysalis/contracts';
import { refText } from '@chrysalis/contracts';
import type { DemoReport } from './report.ts';
import { mib, table, type Screen } from '../fleet/screen.ts';
import type { HostView } from '../fleet/story.ts';

export const showHosts = (screen: Screen, hosts: readonly HostView[]): void => {
  screen.title('Two unlike hosts');
  const rows = hosts.map(({ hostId, facts: f }) => [
    hostId,
    f.address,
    `${f.driver === 'qemu' ? 'QEMU ' : ''}${f.hypervisorVersion}`,
    f.cpuModels.join(' '),
    `${f.inventory.memoryMiB.total} MiB`,
    f.traits.join(' '),
  ]);
  for (const row of table([['host', 'address', 'hypervisor', 'CPU models', 'memory', 'traits'], ...rows])) screen.line(row);
};

export const showPlan = (screen: Screen, plan: Plan): void => {
  for (const move of plan.moves) {
    screen.line(`${move.vmId}: ${refText(move.fromType)}@${move.fromHost} -> ${refText(move.toType)}@${move.toHost}`);
    for (const row of table(move.steps.map((s) => [s.section, s.name, s.summary]))) screen.line(`  ${row}`);
    for (const k of move.keeps ?? []) screen.line(`  keeps, and holds: ${k.what} ${k.id} as ${k.has}, where the type has ${k.type}`);
    for (const b of move.blockers) screen.line(`  blocked: ${b.code}: ${b.message}`);
  }
};

/** Before, after, and home again. */
const showGuests = (screen: Screen, r: DemoReport): void => {
  const seen = [r.vm.before, r.vm.after, ...(r.back ? [r.back.after] : [])];
  const rows = [
    ['', 'before', 'after', ...(r.back ? ['back'] : [])],
    ['type @ host', ...seen.map((g) => `${g.type} @ ${g.host}`)],
    ['boot id', ...seen.map((g) => g.bootId)],
    ['uptime', ...seen.map((g) => `${g.uptimeSeconds} s`)],
    ['CPUs online', ...seen.map((g) => String(g.vcpus))],
    ['memory online', ...seen.map((g) => `${g.memoryMiB} MiB`)],
    ['data file system', ...seen.map((g) => mib(g.fileSystemBytes))],
    ['NICs', ...seen.map((g) => g.nics.join(' '))],
  ];
  for (const row of table(rows)) screen.line(row);
};

/** The last line says whether all holds, and on what. */
export const showReport = (screen: Screen, r: DemoReport): void => {
  const modelled = r.hypervisor.driver === 'simulated';
  screen.title(modelled ? 'As the simulated guest says' : 'As the guest says');
  showGuests(screen, r);
  screen.title('As the client saw it');
  showService(screen, r, r);
  if (r.back) showService(screen, r.back, r, 'back: ');
  screen.title('Checks');
  for (const c of r.checks)
    screen.line(
      `${c.ok ? 'ok  ' : 'FAIL'} ${c.name}${c.ok ? '' : `: expected ${JSON.stringify(c.expected)}, observed ${JSON.stringify(c.observed)}`}`,
    );
  const { driver, version, accelerator } = r.hypervisor;
  const on = modelled ? 'SIMULATED hosts, guests and network; real control plane and host agents' : `${driver} ${version} (${accelerator})`;
  const network = modelled || r.service.follows ? '' : '; WITHOUT NETWORKS: heartbeats over virtio-serial in place of HTTP';
  screen.line(`${r.ok ? 'All hold' : 'NOT all hold'}: ${on}, ${r.mode}, bus ${r.bus.kind}${network}`);
};

const showService = (
  screen: Screen,
  { service: s, migration: m }: Pick<DemoReport, 'service' | 'migration'>,
  { events, hypervisor }: DemoReport,
  leg = '',
): void => {
  const connections = `${s.connections} connection${s.connections === 1 ? '' : 's'}`;
  screen.line(
    `${leg}${s.requests} ${s.follows ? 'requests' : 'heartbeats'} on ${connections}, ${s.errors} errors, largest gap ${s.longestGapMs} ms (median answer ${s.p50Ms} ms)`,
  );
  const transfer = hypervisor.driver === 'simulated' ? 'the simulated transfer' : "QEMU's transfer";
  screen.line(
    `${leg}downtime ${m.downtimeMs} ms; ${transfer} ${m.totalMs} ms, ${mib(m.transferredBytes)}; the control plane's own time ${m.controlPlaneMs} ms; ${events.total} events in all`,
  );
};
