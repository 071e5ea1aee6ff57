import { describe, expect, test } from '@jest/globals';
import { optionsText, planText } from './plan.ts';

const row = { version: 1, createdAt: '2026-11-23T09:00:00.000Z', updatedAt: '2026-11-23T09:00:00.000Z' };
const blocker = (code: string) => ({ code, message: `why ${code}`, subject: 'vm-1', remedy: `do ${code}` });

describe('options and plans for people', () => {
  test('each reason once, with the options it rules out', () => {
    const refused = ['a', 'b', 'c', 'd', 'e'].map((id) => ({
      id,
      blockers: [blocker('x.same'), ...(id === 'e' ? [blocker('y.other')] : [])],
    }));
    const text = optionsText({ ...row, queryId: 'q-1', vmIds: ['vm-1'], state: 'answered', source: 'failsafe', options: [], refused });
    expect(text.split('\n').slice(2)).toEqual([
      'No option.',
      '',
      'Not offered: 5 options, for these reasons (-o json has them one by one)',
      '  x.same: why x.same',
      '    remedy: do x.same',
      '    rules out: a, b, c and 2 more',
      '  y.other: why y.other',
      '    remedy: do y.other',
      '    rules out: e',
      'next: do x.same',
    ]);
  });

  test('every blocker of a plan, with its remedy', () => {
    const ref = { name: 'small', version: 1 };
    const move = {
      vmId: 'vm-1',
      fromHost: 'h1',
      toHost: 'h2',
      fromType: ref,
      toType: ref,
      steps: [],
      blockers: [blocker('x.one'), blocker('x.two')],
      keeps: [
        { what: 'vcpus' as const, id: 'vcpus', has: 2, type: 1 },
        { what: 'disk' as const, id: 'data', has: 256, type: 128 },
      ],
    };
    const text = planText({
      planId: 'plan-1',
      basis: { template: ref, vmVersions: {}, hostGenerations: {} },
      moves: [move],
      at: row.createdAt,
      ready: false,
    });
    expect(text).toContain('1 move, 1 blocked');
    expect(text).toContain('x.one: why x.one (vm-1)\n      remedy: do x.one\n    x.two');
    expect(text).toContain('Keeps, and holds:\n    2 vCPUs, of which the guest has 1 online');
    expect(text).toContain('    disk data of 256 MiB, where the type has 128');
  });
});
