import { itemsText } from './analysis.ts';
import type { Task, WorkflowGraph } from '@chrysalis/api-client';
import { took } from './output.ts';

const marks: Readonly<Record<string, string>> = {
  waiting: '.',
  ready: '.',
  expanded: '>',
  offered: '?',
  dispatched: '>',
  retrying: '~',
  succeeded: '+',
  skipped: '-',
  failed: 'x',
  compensating: '<',
  'compensation-retrying': '<',
  compensated: 'o',
  'compensation-failed': '!',
};
const legend =
  '. waits  ? on offer  > runs  ~ tries again  + done  - skipped  x failed  < is being undone  o undone  ! could not be undone';

/** The graph as text: tasks in layers, each behind all it waits for; those of one layer run at the same time. */
export const graphText = ({ tasks: all }: WorkflowGraph): string => {
  const tasks = all.filter((t) => !t.item);
  const items = Map.groupBy(
    all.filter((t) => t.item),
    (t) => t.item!.of,
  );
  const layer = layersOf(tasks);
  const width = Math.max(1, ...all.map((t) => t.name.length));
  const place = new Map(tasks.map((t, i) => [t.name, i]));
  const lines: string[] = [];
  let section: string | undefined;
  const ordered = [...tasks].sort((a, b) => layer.get(a.name)! - layer.get(b.name)! || place.get(a.name)! - place.get(b.name)!);
  for (const t of ordered) {
    if (t.section !== section) lines.push((section = t.section) ?? '(no section)');
    lines.push(...taskLines(t, String(layer.get(t.name)).padStart(2), width));
    for (const i of items.get(t.name) ?? []) lines.push(...taskLines(i, '  ', width));
  }
  return [...lines, '', legend].join('\n');
};

const taskLines = (t: Task, layer: string, width: number): string[] => {
  const after = t.dependsOn?.length && !t.item ? `  <- ${t.dependsOn.join(', ')}` : '';
  const line = `  ${layer} ${marks[t.state] ?? '?'} ${t.name.padEnd(width)}  ${notesOf(t).join('  ')}${after}`;
  return t.cause ? [line, `       ${t.cause.code}: ${t.cause.message}`] : [line];
};

/** The owner has each bid, the read models how many there are. */
const bidsOf = ({ bids }: NonNullable<Task['offer']>): number => (typeof bids === 'number' ? bids : bids.length);

const notesOf = (t: Task): string[] => {
  const last = t.attempts?.at(-1) ?? t;
  return [
    t.kind,
    last.executor,
    took(t.startedAt, t.endedAt),
    (last.attempt ?? 1) > 1 ? `attempt ${last.attempt}` : '',
    t.offer ? `${bidsOf(t.offer)} bids, until ${t.offer.closesAt.slice(11, 19)}` : '',
    t.items ? itemsText(t.items) : '',
    t.pointOfNoReturn ? 'POINT OF NO RETURN' : '',
  ].filter((note): note is string => Boolean(note));
};

const layersOf = (tasks: readonly Task[]): Map<string, number> => {
  const byName = new Map(tasks.map((t) => [t.name, t]));
  const layers = new Map<string, number>();
  const of = (name: string): number => {
    const known = layers.get(name);
    if (known !== undefined) return known;
    layers.set(name, 0); // a circle cannot be, and would end here
    const behind = (byName.get(name)?.dependsOn ?? []).filter((n) => byName.has(n)).map(of);
    const layer = behind.length === 0 ? 0 : Math.max(...behind) + 1;
    layers.set(name, layer);
    return layer;
  };
  for (const t of tasks) of(t.name);
  return layers;
};
