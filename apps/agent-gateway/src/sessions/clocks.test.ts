import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Registry } from 'prom-client';
import { Clocks } from './clocks.ts';

const at = (ms: number): string => new Date(ms).toISOString();
const host = { hostId: 'h1', tenant: 'acme' };

describe('the clocks of hosts', () => {
  test('are told when there are enough samples, and again only when they change', () => {
    const clocks = new Clocks({ metrics: new Registry() });
    const connection = {};
    const hear = (skew: number, times: number): unknown => {
      for (let i = 0; i < times; i++) clocks.heard(connection, host, at(1_000_000 + skew), 1_000_000);
      return clocks.due();
    };
    expect(hear(7_200_000, 2)).toEqual([]);
    expect(hear(7_200_000, 1)).toEqual([{ ...host, skewMs: 7_200_000 }]);
    expect(hear(7_200_400, 8)).toEqual([]);
    expect(hear(-3_000, 8)).toEqual([{ ...host, skewMs: -3_000 }]);
    clocks.left(connection);
    expect(hear(0, 2)).toEqual([]);
  });

  test('frames that were late on their way change nothing, as long as one of eight was not', () => {
    const delays = fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: 7, maxLength: 7 });
    fc.assert(
      fc.property(fc.integer({ min: -7_200_000, max: 7_200_000 }), delays, fc.integer({ min: 0, max: 7 }), (skew, late, onTime) => {
        const clocks = new Clocks({ metrics: new Registry() });
        const all = [...late.slice(0, onTime), 0, ...late.slice(onTime)];
        all.forEach((delay, i) => clocks.heard(host, host, at(1_000_000 + i + skew), 1_000_000 + i + delay));
        expect(clocks.due()).toEqual([{ ...host, skewMs: skew }]);
      }),
    );
  });
});
