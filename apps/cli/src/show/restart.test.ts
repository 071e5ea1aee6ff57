import { describe, expect, test } from '@jest/globals';
import type { Vm } from '@chrysalis/api-client';
import { restartCell, restartText } from './restart.ts';

const since = '2026-01-01T00:00:00.000Z';
const vm = (more: Partial<Vm>, seen?: NonNullable<Vm['observed']>['state']): Vm =>
  ({
    ...{ vmId: 'vm-1', name: 'web', state: 'running', restart: { policy: 'on-failure' } },
    ...(seen ? { observed: { state: seen, since, resets: 0, changes: 1, hostId: 'a', epoch: 1 } } : {}),
    ...more,
  }) as Vm;
const dueAt = '2026-01-01T00:00:10.000Z';

describe('what is done where a VM goes off', () => {
  test.each([
    ['runs', vm({}, 'running'), 'on-failure'],
    ['waits for its start', vm({ restart: { policy: 'always', attempts: 2, dueAt } }, 'gone'), `always: started again at ${dueAt} (start 2 in a row)`],
    ['was given up', vm({ restart: { policy: 'always', attempts: 8, gaveUp: true } }, 'panicked'), 'always: given up after 8 starts in a row\nnext: chrysalis vm start vm-1'],
    ['is off, with no policy', vm({ restart: { policy: 'never' } }, 'panicked'), 'never: it is off, and stays off\nnext: chrysalis vm start vm-1\nor:   chrysalis vm set vm-1 --restart on-failure'],
    ['stands still', vm({}, 'io-error'), 'on-failure: it stands still\nnext: chrysalis vm resume vm-1'],
    ['is paused, as it is meant to be', vm({ state: 'paused', desired: 'paused' }, 'paused'), 'on-failure'],
    ['was paused, and went off', vm({ state: 'paused', desired: 'paused' }, 'gone'), 'on-failure: it is off, and was meant to be paused\nnext: chrysalis vm start vm-1'],
    ['is off, as it is meant to be', vm({ state: 'stopped', desired: 'stopped' }, 'shut-down'), 'on-failure'],
    ['is being started', vm({ action: { action: 'start', operation: 'op-1' } }, 'gone'), 'on-failure'],
  ] as const)('%s', (_, of, text) => expect(restartText(of)).toBe(text)); // prettier-ignore

  test('in a list: the policy, and the next start', () => {
    expect(restartCell(vm({ restart: { policy: 'never' } }))).toBeUndefined();
    expect(restartCell(vm({ restart: undefined } as never))).toBeUndefined();
    expect(restartCell(vm({}))).toBe('on-failure');
    expect(restartCell(vm({ restart: { policy: 'always', attempts: 1, dueAt } }))).toBe('always, starts 00:00:10Z');
    expect(restartCell(vm({ restart: { policy: 'always', attempts: 8, gaveUp: true } }))).toBe('always, given up');
  });
});
