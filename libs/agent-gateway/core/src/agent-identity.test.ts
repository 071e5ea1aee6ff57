import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { judgeAgent, type HostAgents, type Said } from './agent-identity.ts';

const a: Said = { key: 'A'.repeat(43), instance: 'i1', after: [] };
const has: HostAgents = { current: { key: a.key, instance: 'i1' }, released: new Set() };
const none: HostAgents = { released: new Set() };

describe('the agent that a host has', () => {
  test.each([
    ['the first that says who it is has the host', none, a, 3, 'first'],
    ['the same process comes again', has, a, 3, 'same'],
    ['its next process follows it', has, { ...a, instance: 'i2', after: ['i0', 'i1'] }, 3, 'follows'],
    ['another key', has, { ...a, key: 'B'.repeat(43) }, 3, 'agent.identity_conflict'],
    ['another key that claims to follow', has, { ...a, key: 'B'.repeat(43), after: ['i1'] }, 3, 'agent.identity_conflict'],
    ['a copy of its disk', has, { ...a, instance: 'i2', after: ['i0'] }, 3, 'agent.identity_copied'],
    ['one that does not say who it is', has, undefined, 2, 'agent.identity_missing'],
    ['one of a version that has to say it', none, undefined, 3, 'agent.identity_missing'],
    ['one of before, at a host that nobody claimed', none, undefined, 2, 'unknown'],
    ['one that the host was taken from', { released: new Set([a.key]) }, a, 3, 'agent.identity_released'],
  ])('%s', (_, host, said, protocol, expected) => {
    const verdict = judgeAgent('h1', host, said, protocol);
    expect(verdict.ok ? verdict.is : verdict.code).toBe(expected);
  });

  /** A disk, copied once, and the two agents on it: starts, hellos that may be lost on their way, welcomes that may. */
  test('an agent that is killed anywhere is let in again, and of two copies only the one that was heard first', () => {
    type Disk = { instances: string[] };
    const step = fc.record({ copy: fc.boolean(), does: fc.constantFrom('start', 'ask', 'ask unheard', 'ask, welcome lost') });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const disks: [Disk, Disk] = [{ instances: ['i0'] }, { instances: ['i0'] }];
        const running: [string | undefined, string | undefined] = [undefined, undefined];
        let known: HostAgents = { current: { key: a.key, instance: 'i0' }, released: new Set() };
        let owner: number | undefined;
        steps.forEach(({ copy, does }, n) => {
          const which = copy ? 1 : 0;
          if (does === 'start' || running[which] === undefined) {
            running[which] = `i${n}-${which}`;
            disks[which] = { instances: [...disks[which].instances, running[which]] };
          }
          if (does === 'start' || does === 'ask unheard') return;
          const instance = running[which];
          const verdict = judgeAgent('h1', known, { key: a.key, instance, after: disks[which].instances.filter((i) => i !== instance) }, 3);
          owner ??= which;
          expect(verdict.ok).toBe(which === owner);
          if (!verdict.ok) return;
          known = { ...known, current: { key: a.key, instance } };
          if (does === 'ask') disks[which] = { instances: [instance] };
        });
      }),
    );
  });
});
