import type { Migration, MoveInFull } from '@chrysalis/api-client';
import { fields, mib, table, took } from './output.ts';

export const migrationText = (m: Migration): string => {
  const head = fields({
    migration: m['migrationId'],
    template: m['template'],
    plan: m['planId'],
    state: m['state'],
    took: took(m['startedAt'], m['endedAt']),
    paused: m['paused'] && `${by(m.paused)}until ${m['paused'].until}, then ${m['paused'].then}: ${m['paused'].reason}`,
    window: windowText(m.window),
    ...(m['vmIds'].length > 1 ? { vms: countsText(m) } : {}),
    cause: m['cause'] && `${m['cause'].code}: ${m['cause'].message}`,
    of: m.of && `${m.of.as} of ${m.of.migrationId}`,
    again: m.again.map((a) => `${a.as}: ${a.migrationId}, ${a.state}`).join('\n') || undefined,
    log: `chrysalis migration logs ${m['migrationId']}`,
  });
  const forecastOf = new Map(m.planned.map((p) => [p.vmId, p.standsStillSeconds]));
  return [head, ...m.moves.map((move) => moveText(move, forecastOf.get(move.vmId))), ...notBegunText(m)].join('\n\n');
};
/** Whether its moves may begin now, and when they may next. */
const windowText = (window: Migration['window']): string | undefined => {
  if (!window) return undefined;
  const then = window.next && `next from ${window.next.from} until ${window.next.until}`;
  return `${window.open ? `open until ${window.open.until}` : 'closed'}; ${then ?? 'none after that'}`;
};
const by = (paused: Migration['paused']): string => (paused?.by === undefined ? '' : `by ${paused.by} `);

const NAMED = 50;
/** Each with where it was to go. */
const notBegunText = (m: Migration): string[] => {
  if (m.notBegun.length === 0) return [];
  const planned = new Map(m.planned.map((p) => [p.vmId, p]));
  const route = (vmId: string): string => {
    const p = planned.get(vmId);
    return p ? `, ${p.fromType} on ${p.fromHost}  ->  ${p.toType} on ${p.toHost}` : '';
  };
  const more = m.notBegun.length - NAMED;
  const lines = m.notBegun.slice(0, NAMED).map((id) => `  ${id}${route(id)}`);
  return [[m.endedAt ? 'Not begun:' : 'Waiting:', ...lines, ...(more > 0 ? [`  and ${more} more: -o json has them all`] : [])].join('\n')];
};
/** What has become of its VMs so far, in numbers. */
const countsText = (m: Migration): string => {
  const of = (state: string): number => m.moves.filter((x) => x['state'] === state).length;
  const counts = ['succeeded', 'running', 'undone', 'failed'].map((state) => [of(state), state] as const);
  const all = [...counts, [m['vmIds'].length - m.moves.length, m['endedAt'] ? 'not begun' : 'waiting'] as const];
  return all.flatMap(([n, what]) => (n > 0 ? [`${n} ${what}`] : [])).join(', ');
};

const verdicts = { approved: 'approved', rejected: 'rejected', 'timed-out': 'answered by nobody', moot: 'needed no more' };
const approvalText = (a: NonNullable<MoveInFull['approval']>, migrationId: string): string => {
  if (a.verdict) return `approval: ${verdicts[a.verdict]}${a.by ? ` by ${a.by}` : ''}, ${a.at}${a.reason ? `: ${a.reason}` : ''}`;
  const then = a.onTimeout === 'abort' ? 'it is undone' : 'it switches over';
  const waits = `waits since ${a.since} for ${a.waitsFor}, until ${a.until}: then ${then}`;
  return `${waits}\n  next: chrysalis migration approve ${migrationId}, or reject`;
};

const moveText = (move: MoveInFull, forecast?: number): string => {
  const f = move['figures'];
  return [
    `${move['vmId']}: ${move['state']}${move['cause'] ? `, ${move['cause'].code}: ${move['cause'].message}` : ''}  (workflow ${move['workflowId']})`,
    ...(move['standing'] ? [`  ${move['standing'].summary}`, ...move['standing'].next.map((command) => `  next: ${command}`)] : []),
    ...(move['approval'] ? [`  ${approvalText(move['approval'], move['migrationId'])}`] : []),
    ...(f
      ? [
          `  downtime ${f.downtimeMs.toFixed(1)} ms${forecast === undefined ? '' : ` (forecast about ${forecast} s)`}, in all ${Math.round(f.totalMs)} ms, ${mib(f.transferredBytes)} transferred, control plane ${Math.round(f.controlPlaneMs)} ms`,
        ]
      : []),
    ...(move['steps'].length
      ? [
          table(
            {
              '  section': (s) => `  ${s['section']}`,
              step: (s) => s['name'],
              state: (s) => s['state'],
              ms: (s) => s['ms'],
              what: (s) => s['cause']?.message ?? s['summary'],
            },
            move['steps'],
          ),
        ]
      : []),
  ].join('\n');
};
