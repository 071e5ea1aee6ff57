import { took, type Row } from './output.ts';

const marks: Readonly<Record<string, string>> = {
  pending: '.',
  running: '>',
  retrying: '~',
  succeeded: '+',
  skipped: '-',
  failed: 'x',
  compensating: '<',
  compensated: 'o',
  'compensation-failed': '!',
};
const legend = '. waits  > runs  ~ tries again  + done  - skipped  x failed  < is being undone  o undone  ! could not be undone';

/** The graph as text: tasks in layers, each behind all it waits for; those of one layer run at the same time. */
export const graphText = (workflow: Row): string => {
  const tasks = workflow['tasks'] as Row[];
  const layer = layersOf(tasks);
  const width = Math.max(...tasks.map((t) => t['task'].length));
  const lines: string[] = [];
  let section: string | undefined;
  for (const t of [...tasks].sort((a, b) => layer.get(a['task'])! - layer.get(b['task'])! || a['index'] - b['index'])) {
    if (t['section'] !== section) lines.push((section = t['section']) ?? '(no section)');
    const after = (t['after'] as string[] | undefined)?.length ? `  <- ${t['after'].join(', ')}` : '';
    const time = took(t['startedAt'], t['endedAt']);
    const notes = [
      t['kind'],
      t['executor'],
      time,
      t['attempt'] > 1 ? `attempt ${t['attempt']}` : '',
      t['pointOfNoReturn'] ? 'POINT OF NO RETURN' : '',
    ].filter(Boolean);
    lines.push(
      `  ${String(layer.get(t['task'])).padStart(2)} ${marks[t['state']] ?? '?'} ${t['task'].padEnd(width)}  ${notes.join('  ')}${after}`,
    );
    if (t['cause']) lines.push(`       ${t['cause'].code}: ${t['cause'].message}`);
  }
  return [...lines, '', legend].join('\n');
};

const layersOf = (tasks: readonly Row[]): Map<string, number> => {
  const byName = new Map(tasks.map((t) => [t['task'] as string, t]));
  const layers = new Map<string, number>();
  const of = (name: string): number => {
    const known = layers.get(name);
    if (known !== undefined) return known;
    layers.set(name, 0); // a circle cannot be, and would end here
    const behind = ((byName.get(name)?.['after'] as string[] | undefined) ?? []).filter((n) => byName.has(n)).map(of);
    const layer = behind.length === 0 ? 0 : Math.max(...behind) + 1;
    layers.set(name, layer);
    return layer;
  };
  for (const t of tasks) of(t['task']);
  return layers;
};
