import { describe, expect, test } from '@jest/globals';
import { ObservedState, type Observed } from '@chrysalis/contracts';
import { observedBlockers } from './observed.ts';
import { vm } from './test/fixtures.ts';

const seen = (state: Observed['state'], more: Partial<Observed> = {}): Observed => ({
  state,
  since: '2026-01-01T00:00:00.000Z',
  resets: 0,
  changes: 0,
  ...more,
});

describe('a VM that its host sees do something else than run', () => {
  test.each(ObservedState.options.filter((s) => s !== 'running'))('%s is a blocker with its own code and a remedy', (state) => {
    const [found, ...more] = observedBlockers(vm({ observed: seen(state, { cause: { code: 'x.y', message: 'because of it' } }) }));
    expect(more).toEqual([]);
    expect(found!.code).toMatch(/^vm\.[a-z_]+$/);
    expect(found!.message).toContain('since 2026-01-01T00:00:00.000Z: because of it');
    expect(found!.remedy).toBeTruthy();
  });

  test('no two states share a code; one that runs, or that nobody has seen, blocks nothing', () => {
    const codes = ObservedState.options.flatMap((state) => observedBlockers(vm({ observed: seen(state) })).map((b) => b.code));
    expect(new Set(codes).size).toBe(ObservedState.options.length - 1);
    expect(observedBlockers(vm({}))).toEqual([]);
  });
});
