import type { DemoReport } from './report.ts';
import { mib } from '../fleet/screen.ts';
import type { Timeline } from './timeline.ts';
import { ANSWERS_HEIGHT, answers, answersHead } from './picture/answers.ts';
import { axisOf, grid, msText, type Axis } from './picture/axis.ts';
import { bands, bars, ganttDefs, ganttHeight } from './picture/gantt.ts';
import { head, HEAD_HEIGHT } from './picture/head.ts';
import { AMBER, CARD, el, FAINT, fit, INK, MUTED, widthOf, words } from './picture/svg.ts';

const WIDTH = 1000;
const [LEFT, RIGHT] = [142, 976];
const FONT = "-apple-system, 'Segoe UI', Roboto, 'Noto Sans', Helvetica, Arial, sans-serif";

/** From a little before the request until a little after the last step. */
const timeOf = (t: Timeline): Axis => {
  const spans = [...t.steps.values()].flatMap(({ ran, undone }) => [ran, undone].filter((s) => s !== undefined));
  const end = Math.max(t.requestedAt + 1, t.endedAt, ...spans.map((s) => s.to));
  const rim = (end - t.requestedAt) * 0.04;
  return axisOf(t.requestedAt - rim, end + rim, LEFT, RIGHT);
};

type Lines = Readonly<{ top: number; label: number; bottom: number }>;
/** A moment as a line through both parts, with words above the steps. */
const mark = (axis: Axis, at: number, y: Lines, text: string, fill: string): string => {
  const x = axis.x(at);
  const left = x + 6 + widthOf(text, 12) > RIGHT;
  return (
    el('line', { class: 'mark', x1: x, x2: x, y1: y.top, y2: y.bottom, stroke: fill, 'stroke-width': 1.5, 'stroke-dasharray': '4 3' }) +
    words(left ? x - 6 : x + 6, y.label, text, { weight: 600, fill, rim: true, anchor: left ? 'end' : 'start' })
  );
};

const switchOver = (axis: Axis, stopped: Timeline['stopped'], downtimeMs: number, y: Lines): string => {
  if (!stopped) return '';
  const [from, to] = [axis.x(stopped.from), axis.x(stopped.to)];
  const text = `switch-over: the guest stands still for ${msText(downtimeMs)}`;
  return (
    el('rect', { x: from, y: y.top, width: Math.max(1, to - from), height: y.bottom - y.top, fill: INK, 'fill-opacity': 0.08 }) +
    mark(axis, stopped.to, y, text, INK)
  );
};

/** A move that was undone has no figures: what ended it instead. */
const foot = ({ migration: m, events, hypervisor, chrysalis }: DemoReport): string => {
  const transfer = hypervisor.driver === 'simulated' ? 'the simulated transfer' : "QEMU's transfer";
  const figures = [`${transfer} ${m.totalMs} ms, ${mib(m.transferredBytes)}`, `the control plane's own time ${m.controlPlaneMs} ms`];
  const came = m.state === 'succeeded' ? figures : m.cause ? [`cause: ${m.cause}`] : [];
  return [...came, `${events.total} events`, `Chrysalis ${chrysalis}`].join('  ·  ');
};

/** A run as one SVG, 1000 px wide, without scripts or fonts of its own; nothing in it that the run did not measure. */
export const pictureOf = (report: DemoReport, timeline: Timeline): string => {
  const axis = timeOf(timeline);
  const drawn = timeline.samples.filter(([at]) => axis.shows(at)).length;
  const top = HEAD_HEIGHT + 56;
  const ganttTop = top + ANSWERS_HEIGHT + 48;
  const bottom = ganttTop + ganttHeight(report.steps);
  const lines = { top, label: ganttTop - 8, bottom };
  const { killedAt, requestedAt, endedAt } = timeline;
  const inside = [
    el('title', {}, 'A run of the Chrysalis demo'),
    el('defs', {}, ganttDefs),
    el('rect', { x: 0.5, y: 0.5, width: WIDTH - 1, height: bottom + 51, rx: 8, fill: CARD, stroke: FAINT }),
    head(report, endedAt - requestedAt),
    answersHead(HEAD_HEIGHT + 24, report, drawn),
    bands(ganttTop, report.steps, RIGHT),
    grid(axis, requestedAt, top, bottom),
    answers(axis, top, timeline),
    switchOver(axis, timeline.stopped, report.migration.downtimeMs, lines),
    killedAt === undefined ? '' : mark(axis, killedAt, { ...lines, label: lines.label - 16 }, `SIGKILL to ${report.killed ?? ''}`, AMBER),
    words(24, ganttTop - 8, 'Steps of the move', { size: 13, weight: 600, rim: true }),
    bars(axis, ganttTop, report.steps, timeline),
    words(24, bottom + 38, fit(foot(report), 952, 11), { size: 11, fill: MUTED }),
  ];
  const size = { width: WIDTH, height: bottom + 52, viewBox: `0 0 ${WIDTH} ${bottom + 52}` };
  return `${el('svg', { xmlns: 'http://www.w3.org/2000/svg', role: 'img', ...size, 'font-family': FONT }, `\n${inside.filter(Boolean).join('\n')}\n`)}\n`;
};
