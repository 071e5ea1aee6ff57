import { describe, expect, test } from '@jest/globals';
import { standingOf, standingOfMove, type HeardVm, type Seen } from './index.ts';
import { vm } from './test/fixtures.ts';

const booted = vm({ name: 'web-1' });
const heard: HeardVm = booted;
const seen = (over: Partial<Seen> = {}): Seen => ({ vm: heard, booted, move: undefined, hostId: 'h1', gone: false, ...over });
const word = (over: Partial<Seen>) => {
  const s = standingOf('vm-1', seen(over));
  return s.state === 'free' ? 'free' : `${s.state}${s.state === 'waits' && s.settles ? ' a moment' : ''}: ${s.cause.code}`;
};

describe('how a VM stands to a run that wants it away', () => {
  test.each<[string, Partial<Seen>, string]>([
    ['it runs there', {}, 'free'],
    ['it is being created', { booted: undefined, vm: { ...heard, state: 'requested' } }, 'waits: vm.not_running'],
    ['it is being deleted', { vm: { ...heard, state: 'deleting' } }, 'waits: vm.deleting'],
    ['it is being started', { vm: { ...heard, state: 'stopped', action: 'start' } }, 'waits: vm.in_action'],
    ['it was stopped', { vm: { ...heard, state: 'stopped' } }, 'stuck: vm.halted'],
    ['it was paused', { vm: { ...heard, state: 'paused' } }, 'stuck: vm.halted'],
    ['it is in a move', { move: { moveId: 'mov-1', state: null } }, 'waits: vm.in_move'],
    ['its move has ended and its events are on their way', { vm: { ...heard, moveId: 'mov-1' }, move: { moveId: 'mov-1', state: 'undone' } }, 'waits a moment: vm.in_move'],
    ['its move failed and holds it', { vm: { ...heard, moveId: 'mov-1' }, move: { moveId: 'mov-1', state: 'failed' } }, 'stuck: vm.in_move'],
    ['nobody knows it', { vm: undefined, booted: undefined }, 'waits a moment: vm.unknown'],
    ['it runs elsewhere and holds here', { vm: { ...heard, hostId: 'h2' } }, 'waits a moment: allocation.left_over'],
    ['the run has moved it', { gone: true }, 'waits a moment: allocation.left_over'],
    ['wherever it is', { hostId: undefined, vm: { ...heard, hostId: 'h2' } }, 'free'],
  ])('%s', (_, over, expected) => expect(word(over)).toBe(expected)); // prettier-ignore

  test('what is waited for is said with the name of the VM', () => {
    expect(standingOf('vm-1', seen({ booted: undefined }))).toMatchObject({
      cause: { message: `web-1 (${booted.vmId}) is being created` },
    });
    expect(standingOf('vm-9', seen({ vm: undefined }))).toMatchObject({ cause: { message: 'vm-9 is not known, or is no more' } });
  });

  test('one that was stopped says how it runs again', () => {
    expect(standingOf('vm-1', seen({ vm: { ...heard, state: 'stopped' } }))).toMatchObject({
      cause: { message: expect.stringContaining('chrysalis vm start web-1') },
    });
  });

  test('what a move holds there goes with the move, unless it failed', () => {
    const of = (state: 'succeeded' | 'failed' | null) => standingOfMove('mov-1', { moveId: 'mov-1', state, who: 'web-1' });
    expect([of(null), of('succeeded'), of('failed'), standingOfMove('mov-1', undefined)]).toMatchObject([
      { state: 'waits', settles: false },
      { state: 'waits', settles: true },
      { state: 'stuck' },
      { state: 'waits', settles: true },
    ]);
  });
});
