import type { DemoReport } from '../report.ts';
import type { Sample } from '../../fleet/samples.ts';
import type { Timeline } from '../timeline.ts';
import { msText, type Axis } from './axis.ts';
import { el, FAINT, fit, INK, MUTED, RED, widthOf, words } from './svg.ts';

export const ANSWERS_HEIGHT = 144;
/** Of that kept free above the highest line, for the words of the gap. */
const WORDS_HEIGHT = 22;
const LEAST_MS = 0.5;
const BLUE = '#0969da';

/** What was asked and what came of it, in two lines from y. */
export const answersHead = (y: number, { service: s }: DemoReport, drawn: number): string => {
  const asked = s.follows ? 'requests' : 'heartbeats';
  const connections = `${s.connections} connection${s.connections === 1 ? '' : 's'}`;
  const said = `${s.requests} ${asked} on ${connections}, ${s.errors} errors, largest gap ${s.longestGapMs} ms, median answer ${s.p50Ms} ms`;
  const how = `${s.means.split(':')[0]!} — ${drawn} of them in this picture: one line each, at the time of its answer, as high as it took (log)`;
  return words(24, y, said, { size: 13, weight: 600 }) + words(24, y + 17, fit(how, 952, 11), { size: 11, fill: MUTED });
};

/** One line a request; of those in the same half px the slowest. */
const linesOf = (samples: readonly Sample[], axis: Axis, y: (ms: number) => number): string => {
  const slowest = new Map<number, number>();
  for (const [at, ms] of samples) {
    const x = Math.round(axis.x(at) * 2) / 2;
    slowest.set(x, Math.max(ms, slowest.get(x) ?? 0));
  }
  return [...slowest].map(([x, ms]) => `M${x} ${y(LEAST_MS)}V${Math.round(y(ms) * 10) / 10}`).join('');
};

const gapOf = ({ longestGap }: Timeline, axis: Axis, top: number): string => {
  if (!longestGap || !axis.shows(longestGap.from, longestGap.to)) return '';
  const [from, to] = [axis.x(longestGap.from), axis.x(longestGap.to)];
  const label = `no answer for ${msText(longestGap.to - longestGap.from)}`;
  const left = to + 8 + widthOf(label, 12) > axis.right;
  return (
    el('rect', { class: 'gap', x: from, y: top, width: Math.max(1, to - from), height: ANSWERS_HEIGHT, fill: RED, 'fill-opacity': 0.1 }) +
    words(left ? from - 8 : to + 8, top + 14, label, { weight: 600, fill: RED, anchor: left ? 'end' : 'start', rim: true })
  );
};

/** The client's answers between top and top + ANSWERS_HEIGHT. */
export const answers = (axis: Axis, top: number, timeline: Timeline): string => {
  const shown = timeline.samples.filter(([at]) => axis.shows(at));
  const most = Math.max(100, ...shown.map(([, ms]) => ms));
  const bottom = top + ANSWERS_HEIGHT;
  const room = (ANSWERS_HEIGHT - WORDS_HEIGHT) / Math.log(most / LEAST_MS);
  const y = (ms: number): number => bottom - Math.log(Math.max(LEAST_MS, ms) / LEAST_MS) * room;
  const levels = [1, 10, 100, 1000, 10_000].filter((ms) => ms <= most);
  const scale = levels.map(
    (ms) =>
      el('line', { x1: axis.left, x2: axis.right, y1: y(ms), y2: y(ms), stroke: FAINT }) +
      words(axis.left - 8, y(ms) + 4, msText(ms), { size: 11, fill: MUTED, anchor: 'end' }),
  );
  const line = (samples: readonly Sample[], stroke: string, cls: string): string =>
    samples.length === 0 ? '' : el('path', { class: cls, d: linesOf(samples, axis, y), stroke, 'stroke-width': 1.2, fill: 'none' });
  return (
    scale.join('') +
    el('line', { x1: axis.left, x2: axis.right, y1: bottom, y2: bottom, stroke: INK }) +
    line(
      shown.filter(([, , failed]) => !failed),
      BLUE,
      'answered',
    ) +
    line(
      shown.filter(([, , failed]) => failed),
      RED,
      'unanswered',
    ) +
    gapOf(timeline, axis, top)
  );
};
