import { describe, expect, test } from '@jest/globals';
import { pictureOf } from './picture.ts';
import { report, T0, timeline } from './testing/a-run.ts';

type Drawn = Readonly<Record<string, string>>;
const attributes = (markup: string): Drawn => Object.fromEntries([...markup.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, k, v]) => [k!, v!]));
const drawn = (svg: string, cls: string): Drawn[] =>
  [...svg.matchAll(new RegExp(`<(?:rect|line|path) class="${cls}"[^>]*>`, 'g'))].map(([m]) => attributes(m));
const texts = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, t]) => t!);
/** From ms after the request to px, as two labels of the axis say. */
const xOf = (svg: string, ms: number): number => {
  const [zero, one] = ['0', '1 s'].map((t) => Number(new RegExp(`<text x="([\\d.]+)"[^>]*>${t}</text>`).exec(svg)![1]));
  return zero! + (ms / 1000) * (one! - zero!);
};
const span = (from: number, to: number): { from: number; to: number } => ({ from: T0 + from, to: T0 + to });

describe('the picture of a run', () => {
  test('each step is a bar from its start to its end on the axis of the client, with its name and time', () => {
    const svg = pictureOf(report(), timeline());
    const bars = drawn(svg, 'done').map((b) => [Number(b['x']), Number(b['x']) + Number(b['width'])]);
    const expected = [
      [50, 90],
      [500, 1100],
      [1800, 1900],
    ];
    expect(bars).toHaveLength(3);
    expected.forEach((ends, i) => ends.forEach((ms, j) => expect(bars[i]![j]).toBeCloseTo(xOf(svg, ms), 0)));
    expect(texts(svg)).toEqual(expect.arrayContaining(['hold-target 40 ms', 'transfer 600 ms', 'verify-guest 100 ms', 'migration']));
  });

  test("the client's longest gap is a labelled area without a single answer, and the switch-over a line through both parts", () => {
    const samples = [...timeline().samples, [T0 + 1290.2, 290, 0], [T0 + 1500, 400, 0]] as const;
    const svg = pictureOf(report(), timeline({ samples }));
    const [gap] = drawn(svg, 'gap');
    const [from, to] = [Number(gap!['x']), Number(gap!['x']) + Number(gap!['width'])];
    expect(from).toBeCloseTo(xOf(svg, 1000), 0);
    expect(to).toBeCloseTo(xOf(svg, 1290.2), 0);
    const answers = [...drawn(svg, 'answered')[0]!['d']!.matchAll(/M([\d.]+) /g)].map(([, x]) => Number(x));
    expect(answers.length).toBeGreaterThan(150);
    expect(answers.filter((x) => x > from + 1 && x < to - 1)).toEqual([]);
    const base = Number(/<text [^>]*y="([\d.]+)"[^>]*>no answer for 290 ms</.exec(svg)![1]);
    const highest = Math.min(...[...drawn(svg, 'answered')[0]!['d']!.matchAll(/V([\d.]+)/g)].map(([, y]) => Number(y)));
    expect(base).toBeLessThan(highest); // no line goes through its words
    expect(texts(svg).join('\n')).toMatch(/^900 requests on 1 connection, 0 errors, largest gap 290.2 ms/m);
    const [line] = drawn(svg, 'mark');
    expect(Number(line!['x1'])).toBeCloseTo(xOf(svg, 1067), 0);
    expect(Number(line!['y1'])).toBeLessThanOrEqual(Number(gap!['y']));
    expect(Number(line!['y2'])).toBeGreaterThan(Number(drawn(svg, 'done').at(-1)!['y']));
    expect(texts(svg)).toContain('switch-over: the guest stands still for 67 ms');
  });

  test('a failed step, one undone and one that never ran are told from those that were done; there is no switch-over then', () => {
    const steps = [
      { section: 'prepare', name: 'hold-target', state: 'undone', ms: 40 },
      { section: 'migration', name: 'transfer', state: 'failed', ms: 0 },
      { section: 'verify', name: 'verify-guest', state: 'skipped', ms: 0 },
    ] as const;
    const times = new Map([
      ['hold-target', { ran: span(50, 90), undone: span(1200, 1230) }],
      ['transfer', { ran: span(500, 1100) }],
    ]);
    const { stopped: _, ...rest } = timeline({ steps: times, killedAt: T0 + 300 });
    const svg = pictureOf(
      report({ steps: [...steps], killed: 'workflow', migration: { ...report().migration, state: 'undone', cause: 'host.gone' } }),
      rest,
    );
    expect(drawn(svg, 'done')).toEqual([]);
    expect(drawn(svg, 'failed')).toHaveLength(1);
    expect(drawn(svg, 'undone')[0]!['stroke-dasharray']).toBeDefined();
    expect(drawn(svg, 'failed')[0]!['fill']).not.toBe(drawn(svg, 'undone')[0]!['fill']);
    expect(Number(drawn(svg, 'undo')[0]!['x'])).toBeCloseTo(xOf(svg, 1200), 0);
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        'hold-target 40 ms, undone in 30 ms',
        'transfer failed after 600 ms',
        'verify-guest — not run',
        'SIGKILL to workflow',
      ]),
    );
    expect(svg).not.toContain('switch-over');
    expect(texts(svg).at(-1)).toMatch(/^cause: host.gone {2}· {2}204 events/); // and no figures, for there are none
    expect(drawn(svg, 'mark').map((m) => Number(m['x1']))).toEqual([expect.closeTo(xOf(svg, 300), 0)]);
  });

  test('requests that failed are drawn apart', () => {
    const samples = [...timeline().samples, [T0 + 1500, 15_000, 1] as const];
    const svg = pictureOf(report(), timeline({ samples }));
    expect(drawn(svg, 'unanswered')[0]!['d']).toMatch(new RegExp(`^M${Math.round(xOf(svg, 1500) * 2) / 2} `));
    expect(drawn(pictureOf(report(), timeline()), 'unanswered')).toEqual([]);
  });

  test('what it was given is text, never markup', () => {
    const svg = pictureOf(
      report({
        network: '<script>alert("1")</script> & more\u0000',
        steps: [{ section: 'verify', name: `a<b>'"&`, state: 'done', ms: 1 }],
      }),
      timeline(),
    );
    expect(svg).not.toContain('<script');
    expect(svg).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more<');
    expect(svg).toContain('a&lt;b&gt;&#39;&quot;&amp;');
  });

  test('says what stands in for the real thing', () => {
    const hypervisor = { driver: 'simulated', version: 'model', accelerator: 'none' } as const;
    const service = { ...report().service, follows: false, means: 'heartbeats over virtio-serial, in place of HTTP: by its agent' };
    const said = texts(pictureOf(report({ hypervisor, service }), timeline()));
    expect(said).toContain('SIMULATED');
    expect(said.join('\n')).toMatch(/^900 heartbeats on/m);
    expect(said.join('\n')).not.toContain('requests');
  });

  test('refers to nothing outside itself, and has its own background', () => {
    const svg = pictureOf(report(), timeline());
    expect(svg).not.toMatch(/<script|<image|@import|@font-face|href=/);
    expect([...svg.matchAll(/https?:\/\/[^"]+/g)].map(([m]) => m)).toEqual(['http://www.w3.org/2000/svg']);
    expect(svg).toMatch(/<rect x="0.5" y="0.5" width="999"[^>]* fill="#/);
  });
});
