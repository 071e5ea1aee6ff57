import type { OptionsQuery, PlanMade } from '@chrysalis/api-client';
import { ref, table } from './output.ts';

type Move = PlanMade['moves'][number];
type Blocker = Move['blockers'][number];

/** A plan as a person reads it: each move, its steps by section, and everything in its way. */
export const planText = (plan: PlanMade): string => {
  const { gone = [], done = [] } = plan.of ?? {};
  const without = [
    gone.length > 0 ? `, without what was deleted since (${gone.join(', ')})` : '',
    done.length > 0 ? `, without what is there already (${done.join(', ')})` : '',
  ].join('');
  return movesText(`Plan ${plan.planId} by template ${ref(plan.basis.template)}${without}`, plan.moves);
};

/** Of a plan, or of what one would be. */
export const movesText = (what: string, moves: readonly Move[]): string => {
  const blocked = moves.filter((m) => m.blockers.length > 0).length;
  const head = `${what}: ${moves.length} move${moves.length === 1 ? '' : 's'}, ${blocked === 0 ? 'ready to run' : `${blocked} blocked`}`;
  return [head, ...moves.map(moveText)].join('\n\n');
};

const moveText = (move: Move): string => {
  const lines = [`${move['vmId']}\n  ${ref(move['fromType'])} on ${move['fromHost']}  ->  ${ref(move['toType'])} on ${move['toHost']}`];
  if (move.interruption) lines.push(`  interruption: ${move.interruption}`);
  let section = '';
  let nr = 0;
  for (const s of move.steps) {
    if (s['section'] !== section) lines.push(`  ${(section = s['section'])}`);
    lines.push(`    ${String(++nr).padStart(2)}. ${s['name'].padEnd(24)} ${s['summary']}`);
  }
  if (move['blockers'].length > 0) lines.push('', '  Blocked:', ...move['blockers'].flatMap(blockerLines));
  return [...lines, ...asideLines(move)].join('\n');
};

/** What there is to know of it besides its steps. */
const asideLines = (move: Move): string[] => {
  const lines: string[] = [];
  if (move.copies?.length) lines.push('', '  Copies, while the guest runs:', ...move.copies.map((c) => `    ${copiedText(c)}`));
  if (move.noWayBack) lines.push('', '  No way back:', `    ${move.noWayBack.text}`);
  lines.push(...waitLines(move));
  if (move.without?.length) lines.push('', '  Goes without:', ...move.without.flatMap(blockerLines));
  if (move.keeps?.length) lines.push('', '  Keeps, and holds:', ...move.keeps.map((k) => `    ${keptText(k)}`));
  return lines;
};

const copiedText = ({ disk, sizeMiB, pool, seconds }: NonNullable<Move['copies']>[number]): string =>
  `disk ${disk}, ${sizeText(sizeMiB)}, to the pool ${pool} of the target: ${seconds} s at the template’s bandwidth where all of it was written`;
const sizeText = (mib: number): string => (mib >= 1024 ? `${Math.round(mib / 102.4) / 10} GiB` : `${mib} MiB`);
const pauseLines = ({ stoppedMs, unannouncedMs, stopped }: NonNullable<Move['pauses']>): string[] => [
  ...(stoppedMs > 0
    ? [`    up to ${stoppedMs} ms more downtime, while the guest stands still: ${stopped.join(', ')}; else it is undone`]
    : []),
  ...(unannouncedMs > 0 ? [`    up to ${unannouncedMs} ms more, while the guest runs and its new place is not announced`] : []),
];

const waitLines = ({ standsStill, pauses }: Move): string[] => [
  ...(standsStill ? ['', `  Stands still: ${standstillText(standsStill)}`] : []),
  ...(pauses ? ['', '  In the middle:', ...pauseLines(pauses)] : []),
];
const standstillText = ({ pool, sizeMiB, seconds }: NonNullable<Move['standsStill']>): string =>
  `about ${seconds} s, while up to ${sizeText(sizeMiB)} are saved to the pool ${pool} and read from there; nobody is served meanwhile`;

const keptText = ({ what, id, has, type }: NonNullable<Move['keeps']>[number]): string =>
  what === 'vcpus'
    ? `${has} vCPUs, of which the guest has ${type} online: this host cannot unplug the others`
    : `disk ${id} of ${has} MiB, where the type has ${type}`;

const blockerLines = (b: Blocker): string[] => [
  `    ${b['code']}: ${b['message']}${b['subject'] ? ` (${b['subject']})` : ''}`,
  ...(b['remedy'] ? [`      remedy: ${b['remedy']}`] : []),
];

export const optionsText = (query: OptionsQuery): string => {
  if (query['state'] !== 'answered')
    return `Query ${query['queryId']}: ${query['state']}${query['cause'] ? `, ${query['cause'].code}: ${query['cause'].message}` : ''}`;
  const found = query.options ?? [];
  const list =
    found.length === 0
      ? 'No option.'
      : table(
          {
            option: (o) => o['id'],
            type: (o) => ref(o['targetType']),
            method: (o) => (o['move'] ? o['method'] : 'in place'),
            interruption: (o) => o.interruption ?? '',
            'new resources': (o) => o['newResources'],
            hosts: (o) => o['hosts'].join(','),
            copies: (o) => copiesText(o.copies ?? []),
            packages: (o) => o['augmentation'].join(','),
          },
          found,
        );
  const refused = query.refused ?? [];
  const next = found.length > 0 ? [] : stepsOn(refused).map((step) => `next: ${step}`);
  return [`Query ${query['queryId']}, from ${query['source']} knowledge`, '', list, ...refusedLines(refused), ...next].join('\n');
};

/** What would help against a reason that all of the options have: of a VM that is off, to start it. */
const stepsOn = (refused: NonNullable<OptionsQuery['refused']>): string[] => {
  const [first, ...others] = refused.filter((r) => !r.blockers.some((b) => idle.has(b.code)));
  const same = (a: Blocker, b: Blocker): boolean => a.code === b.code && a.subject === b.subject;
  const all = (first?.blockers ?? []).filter((b) => others.every((r) => r.blockers.some((x) => same(x, b))));
  return [...new Set(all.flatMap((b) => b.remedy ?? []))];
};

type Copies = NonNullable<NonNullable<OptionsQuery['options']>[number]['copies']>;
const copiesText = (copies: Copies): string => {
  const [first, ...more] = copies;
  if (!first) return '';
  const mib = copies.reduce((sum, c) => sum + c.sizeMiB, 0);
  return more.length === 0 ? `disk ${first.disk}, ${sizeText(mib)}` : `${copies.length} disks, ${sizeText(mib)}`;
};

/** No choice of anybody's: options that would be no other than one that is offered. */
const idle = new Set(['option.nothing_to_hide', 'option.no_change']);

/** By reason, as many options have the same: each reason once, with its remedy and the options it rules out. */
export const refusedLines = (all: NonNullable<OptionsQuery['refused']>): string[] => {
  const refused = all.filter((r) => !r.blockers.some((b) => idle.has(b.code)));
  if (refused.length === 0) return [];
  const reasons = new Map<string, { blocker: Blocker; options: string[] }>();
  for (const r of refused)
    for (const blocker of r.blockers) {
      const key = `${blocker['code']} ${blocker['message']}`;
      if (!reasons.has(key)) reasons.set(key, { blocker, options: [] });
      reasons.get(key)!.options.push(r['id']);
    }
  const lines = [...reasons.values()].flatMap(({ blocker, options }) => [
    `  ${blocker['code']}: ${blocker['message']}`,
    ...(blocker['remedy'] ? [`    remedy: ${blocker['remedy']}`] : []),
    `    rules out: ${options.slice(0, 3).join(', ')}${options.length > 3 ? ` and ${options.length - 3} more` : ''}`,
  ]);
  return ['', `Not offered: ${refused.length} options, for these reasons (-o json has them one by one)`, ...lines];
};
