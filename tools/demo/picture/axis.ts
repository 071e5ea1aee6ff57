import { el, FAINT, MUTED, words } from './svg.ts';

/** From ms since 1970 to px, linear; what lies outside is not in the picture. */
export type Axis = {
  readonly from: number;
  readonly to: number;
  readonly left: number;
  readonly right: number;
  x(at: number): number;
  /** Whether any of it is in the picture. */
  shows(from: number, to?: number): boolean;
};

export const axisOf = (from: number, to: number, left: number, right: number): Axis => ({
  from,
  to,
  left,
  right,
  x: (at) => left + ((Math.min(to, Math.max(from, at)) - from) / (to - from)) * (right - left),
  shows: (a, b = a) => b >= from && a <= to,
});

const steps = [1, 2, 5].flatMap((n) => [1, 10, 100, 1000, 10_000, 100_000].map((m) => n * m)).sort((a, b) => a - b);
/** Round ms after `zero`, of which at most about ten are in the picture. */
const ticksOf = (axis: Axis, zero: number): number[] => {
  const step = steps.find((s) => (axis.to - axis.from) / s <= 10) ?? 1_000_000;
  const ticks: number[] = [];
  for (let t = Math.ceil((axis.from - zero) / step) * step; t <= axis.to - zero; t += step) ticks.push(t || 0);
  return ticks;
};

export const msText = (ms: number): string => {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`;
};
const tickText = (ms: number): string => (Math.abs(ms) < 1000 ? `${ms} ms` : `${ms / 1000} s`);

/** Lines from top to bottom, and below them what they stand for. */
export const grid = (axis: Axis, zero: number, top: number, bottom: number): string =>
  ticksOf(axis, zero)
    .map((t) => {
      const x = axis.x(zero + t);
      const line = el('line', { x1: x, x2: x, y1: top, y2: bottom, stroke: t === 0 ? MUTED : FAINT, 'stroke-width': 1 });
      return line + words(x, bottom + 16, t === 0 ? '0' : tickText(t), { size: 11, fill: MUTED, anchor: 'middle' });
    })
    .join('');
