import type { DemoReport } from '../report.ts';
import type { StepTimes, Timeline } from '../timeline.ts';
import { msText, type Axis } from './axis.ts';
import { el, FAINT, MUTED, RED, widthOf, words } from './svg.ts';

type Step = DemoReport['steps'][number];
type Section = Step['section'];

const ROW = 17;
const BAR = 11;
const SIZE = 11;
const colours: Readonly<Record<Section, string>> = {
  prepare: '#57606a',
  'pre-migration': '#0a7ea4',
  'hot-unplug': '#bc6c00',
  migration: '#4f46e5',
  'mid-migration': '#a21caf',
  'hot-plug': '#2e8b3d',
  'post-migration': '#0f8a7e',
  verify: '#8250df',
};

/** The patterns that bars are filled with. */
export const ganttDefs = el(
  'pattern',
  { id: 'undo', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  el('rect', { width: 5, height: 5, fill: '#fff' }) + el('rect', { width: 2, height: 5, fill: RED, 'fill-opacity': 0.75 }),
);

const labelOf = ({ name, state, ms }: Step, { ran, undone }: StepTimes): string => {
  if (!ran) return state === 'failed' ? `${name} failed` : `${name} — not run`;
  if (state === 'failed') return `${name} failed after ${msText(ran.to - ran.from)}`;
  const took = `${name} ${msText(ms)}`;
  return undone ? `${took}, undone in ${msText(undone.to - undone.from)}` : took;
};

/** Filled where it was done, hollow where it was undone later, and red where it failed. */
const ranBar = (axis: Axis, y: number, step: Step, { ran }: StepTimes): string => {
  if (!ran) return '';
  const [x, to] = [axis.x(ran.from), axis.x(ran.to)];
  const colour = step.state === 'failed' ? RED : colours[step.section];
  const hollow = step.state === 'undone';
  return el('rect', {
    class: step.state,
    x,
    y,
    width: Math.max(2, to - x),
    height: BAR,
    rx: 2,
    fill: colour,
    ...(step.state === 'done'
      ? {}
      : { 'fill-opacity': hollow ? 0.12 : 0.3, stroke: colour, 'stroke-dasharray': hollow ? '3 2' : undefined }),
  });
};

const undoBar = (axis: Axis, y: number, { undone }: StepTimes): string => {
  if (!undone) return '';
  const [x, to] = [axis.x(undone.from), axis.x(undone.to)];
  return el('rect', { class: 'undo', x, y, width: Math.max(2, to - x), height: BAR, rx: 2, fill: 'url(#undo)', stroke: RED });
};

/** Behind the bar where there is room, else before it; between a bar and its undoing where both are wide apart. */
const label = (axis: Axis, y: number, step: Step, times: StepTimes, zero: number): string => {
  const text = labelOf(step, times);
  const fill = step.state === 'failed' ? RED : times.ran ? undefined : MUTED;
  const look = { size: SIZE, rim: true, ...(fill ? { fill } : {}) };
  const { ran, undone } = times;
  if (!ran) return words(axis.x(zero) + 6, y + 9.5, text, look);
  const width = widthOf(text, SIZE) + 8;
  const ends = [axis.x(ran.to), ...(undone ? [axis.x(undone.to)] : [])];
  const limits = [undone ? axis.x(undone.from) : axis.right, axis.right];
  const after = ends.findIndex((end, i) => end + width <= limits[i]!);
  if (after >= 0) return words(Math.max(ends[after]!, axis.x(ran.from) + 2) + 6, y + 9.5, text, look);
  return words(axis.x(ran.from) - 6, y + 9.5, text, { ...look, anchor: 'end' });
};

const sectionBand = (top: number, section: Section, rows: number, right: number): string =>
  el('rect', { x: 24, y: top, width: right - 24, height: rows * ROW, fill: colours[section], 'fill-opacity': 0.055 }) +
  el('rect', { x: 24, y: top, width: 3, height: rows * ROW, fill: colours[section] }) +
  words(34, top + 12.5, section, { size: 12, weight: 600, fill: colours[section] });

export const ganttHeight = (steps: readonly Step[]): number => steps.length * ROW;

/** A row a step, in the order of the workflow, each section on a band of its colour. */
export const bands = (top: number, steps: readonly Step[], right: number): string =>
  steps
    .map(({ section }, i) => {
      if (steps[i - 1]?.section === section) return '';
      const next = steps.findIndex((s, j) => j > i && s.section !== section);
      const y = top + i * ROW;
      const rows = (next < 0 ? steps.length : next) - i;
      return sectionBand(y, section, rows, right) + el('line', { x1: 24, x2: right, y1: y, y2: y, stroke: FAINT });
    })
    .join('');

export const bars = (axis: Axis, top: number, steps: readonly Step[], { steps: times, requestedAt }: Timeline): string =>
  steps
    .map((step, i) => {
      const when = times.get(step.name) ?? {};
      const y = top + i * ROW + (ROW - BAR) / 2;
      return el('g', { class: 'step' }, ranBar(axis, y, step, when) + undoBar(axis, y, when) + label(axis, y, step, when, requestedAt));
    })
    .join('');
