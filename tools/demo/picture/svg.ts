/** The little of SVG that the picture needs. Colours hold on the picture's own light card, whatever page is around it. */
export const INK = '#1f2328';
export const MUTED = '#59636e';
export const FAINT = '#d8dee4';
export const CARD = '#fcfcfb';
export const RED = '#cf222e';
export const AMBER = '#9a6700';
export const GREEN = '#1a7f37';

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** Safe in text and in attributes; what no XML may hold is left out. */
const escaped = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '').replace(/[&<>"']/g, (c) => entities[c]!);

type Attributes = Readonly<Record<string, string | number | undefined>>;
const value = (v: string | number): string => (typeof v === 'number' ? String(Math.round(v * 100) / 100) : escaped(v));

/** An element; `inside` is markup already. */
export const el = (name: string, attributes: Attributes, inside = ''): string => {
  const given = Object.entries(attributes).flatMap(([k, v]) => (v === undefined ? [] : [` ${k}="${value(v)}"`]));
  return `<${name}${given.join('')}${inside === '' ? '/>' : `>${inside}</${name}>`}`;
};

export type Look = {
  readonly size?: number;
  readonly fill?: string;
  readonly weight?: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  /** A rim in the card's colour, which keeps words readable over lines. */
  readonly rim?: boolean;
};
/** Words with their base line at y. */
export const words = (x: number, y: number, text: string, look: Look = {}): string =>
  el(
    'text',
    {
      x,
      y,
      'font-size': look.size ?? 12,
      fill: look.fill ?? INK,
      'font-weight': look.weight,
      'text-anchor': look.anchor,
      ...(look.rim ? { stroke: CARD, 'stroke-width': 3, 'stroke-linejoin': 'round', 'paint-order': 'stroke' } : {}),
    },
    escaped(text),
  );

/** About the width in px; on the wide side, for the font is the reader's. */
export const widthOf = (text: string, size: number): number => [...text].length * size * 0.58;

/** As much of it as there is room for. */
export const fit = (text: string, width: number, size: number): string => {
  const room = Math.max(1, Math.floor(width / (size * 0.58)));
  const letters = [...text];
  return letters.length <= room ? text : `${letters.slice(0, room - 1).join('')}…`;
};
