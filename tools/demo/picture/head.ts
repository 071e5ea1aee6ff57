import type { DemoReport } from '../report.ts';
import { mib } from '../../fleet/screen.ts';
import { msText } from './axis.ts';
import { AMBER, el, FAINT, fit, GREEN, MUTED, RED, widthOf, words } from './svg.ts';

export const HEAD_HEIGHT = 172;
const WIDTH = 952;

/** A word on a colour, that ends at x. */
const pill = (x: number, y: number, text: string, fill: string): { readonly markup: string; readonly left: number } => {
  const width = widthOf(text, 12) + 20;
  const markup =
    el('rect', { x: x - width, y, width, height: 22, rx: 11, fill }) +
    words(x - width / 2, y + 15, text, { fill: '#fff', weight: 600, anchor: 'middle' });
  return { markup, left: x - width - 8 };
};

const titleOf = ({ vm: { before: b, after: a } }: DemoReport): string => {
  if (b.host === a.host) return `A running VM was to change its type and its host, and goes on as it was: ${a.type} on ${a.host}`;
  return `A running VM changes its type and its host: ${b.type} on ${b.host} → ${a.type} on ${a.host}`;
};

const onWhat = ({ hypervisor: h, mode, bus, database }: DemoReport): string => {
  const hypervisor = h.driver === 'simulated' ? 'SIMULATED hosts and guests' : `${h.driver} ${h.version}, accelerator ${h.accelerator}`;
  return [hypervisor, mode, `bus ${[bus.kind, bus.version].filter(Boolean).join(' ')}`, `PostgreSQL ${database.version}`].join('  ·  ');
};

type Fact = readonly [what: string, before: string, after: string];
const factsOf = ({ vm: { before: b, after: a } }: DemoReport): Fact[] => [
  ['type', b.type, a.type],
  ['host', b.host, a.host],
  ['CPUs online', String(b.vcpus), String(a.vcpus)],
  ['memory online', `${b.memoryMiB} MiB`, `${a.memoryMiB} MiB`],
  ['file system', mib(b.fileSystemBytes), mib(a.fileSystemBytes)],
  ['NICs', String(b.nics.length), String(a.nics.length)],
  ['boot id', short(b.bootId), b.bootId === a.bootId ? 'the same' : short(a.bootId)],
  ['uptime', `${b.uptimeSeconds} s`, `${a.uptimeSeconds} s`],
];
const short = (id: string): string => `${id.slice(0, 8)}…`;

/** What the guest said before, and after. */
const tiles = (y: number, facts: readonly Fact[]): string => {
  const gap = 8;
  const width = (WIDTH - gap * (facts.length - 1)) / facts.length;
  return facts
    .map(([what, before, after], i) => {
      const x = 24 + i * (width + gap);
      const room = width - 18;
      const changed = after !== before && after !== 'the same';
      return (
        el('rect', { x, y, width, height: 64, rx: 6, fill: '#fff', stroke: FAINT }) +
        words(x + 9, y + 17, fit(what, room, 10.5), { size: 10.5, fill: MUTED }) +
        words(x + 9, y + 35, fit(before, room, 12.5), { size: 12.5, fill: MUTED }) +
        words(x + 9, y + 53, fit(changed ? `→ ${after}` : '= the same', room, 12.5), {
          size: 12.5,
          weight: 600,
          ...(changed ? {} : { fill: MUTED }),
        })
      );
    })
    .join('');
};

/** Title, what it ran on, and what the guest said. */
export const head = (report: DemoReport, tookMs: number): string => {
  const { state } = report.migration;
  const ended = pill(976, 20, `${state} in ${msText(tookMs)}`, state === 'succeeded' ? GREEN : state === 'failed' ? RED : AMBER);
  const modelled = report.hypervisor.driver === 'simulated';
  const killed = report.killed ? `  ·  SIGKILL to ${report.killed} in mid-move` : '';
  const says = modelled ? 'What the simulated guest says, before and after' : 'What the guest itself says, before and after';
  return (
    words(24, 37, fit(titleOf(report), ended.left - 24, 14.5), { size: 15, weight: 700 }) +
    ended.markup +
    (modelled ? pill(976, 48, 'SIMULATED', AMBER).markup : '') +
    words(24, 58, fit(onWhat(report) + killed, WIDTH, 11.5), { size: 11.5, fill: MUTED }) +
    words(24, 74, fit(`network: ${report.network}`, WIDTH, 11.5), { size: 11.5, fill: MUTED }) +
    words(24, 98, says, { size: 13, weight: 600 }) +
    tiles(108, factsOf(report))
  );
};
