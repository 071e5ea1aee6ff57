import { describe, expect, test } from '@jest/globals';
import type { Happening } from '../lifecycle.ts';
import { happeningOf, isOfSameRestart } from './lifecycle.ts';

/** What QEMU's events, one after another, tell of a guest. */
const told = (...events: [string, Record<string, unknown>?][]): string[] => {
  let before: Happening | undefined;
  return events.flatMap(([event, data = {}], atUs) => {
    const seen = happeningOf({ event, data, atUs }, before);
    if (seen && seen.kind !== 'reset') before = seen;
    return seen ? [`${seen.code} by ${seen.by}: ${seen.state}`] : [];
  });
};

describe("QEMU's events", () => {
  test('a power-off, once, whatever follows it', () => {
    const off = ['SHUTDOWN', { guest: true, reason: 'guest-shutdown' }] as [string, Record<string, unknown>];
    expect(told(off, ['STOP'])).toEqual(['vm.shut_down by guest: shut-down']);
  });

  test('an end by a signal or by a command is not the guest’s: the end of the process says it', () => {
    for (const reason of ['host-signal', 'host-qmp-quit', 'host-error']) expect(told(['SHUTDOWN', { guest: false, reason }])).toEqual([]);
  });

  test('a panic, told twice by QEMU', () => {
    const panic = [['GUEST_PANICKED', { action: 'poweroff' }], ['STOP'], ['SHUTDOWN', { guest: true, reason: 'guest-panic' }]] as [
      string,
      Record<string, unknown>?,
    ][];
    expect(told(...panic)).toEqual(['vm.panicked by guest: panicked']);
    expect(told(panic[2]!)).toEqual(['vm.panicked by guest: panicked']);
    expect(told(['GUEST_PANICKED', { action: 'run' }])).toEqual([]);
  });

  test('a full pool, once for all the requests that failed, and again after the guest went on', () => {
    const full = ['BLOCK_IO_ERROR', { action: 'stop', nospace: true, 'node-name': 'block-data', device: '', reason: 'x' }] as [
      string,
      object,
    ];
    const events = [full, full, ['STOP'], ['RESUME'], full] as [string, Record<string, unknown>?][];
    expect(told(...events)).toEqual(['vm.io_error by host: io-error', 'vm.resumed by host: running', 'vm.io_error by host: io-error']);
    expect(told(['BLOCK_IO_ERROR', { action: 'report', 'node-name': 'block-data' }])).toEqual([]);
  });

  test('restarts, sleep, and a stop by hand; what a start or a load does is none of them', () => {
    expect(told(['RESET', { guest: true, reason: 'guest-reset' }])).toEqual(['vm.reset by guest: running']);
    expect(told(['RESET', { guest: false, reason: 'host-qmp-system-reset' }])).toEqual(['vm.reset by host: running']);
    expect(told(['RESET', { guest: true, reason: 'subsystem-reset' }], ['MIGRATION'], ['DEVICE_DELETED'])).toEqual([]);
    expect(told(['SUSPEND'], ['WAKEUP'])).toEqual(['vm.suspended by guest: paused', 'vm.resumed by host: running']);
    expect(told(['STOP'], ['RESUME'])).toEqual(['vm.stopped by host: paused', 'vm.resumed by host: running']);
  });
});

test('what the firmware resets after a reset is of the same restart, counted from the first', () => {
  const reset = (by: string, ms: number): Happening =>
    happeningOf(
      { event: 'RESET', data: { reason: by === 'guest' ? 'guest-reset' : 'host-qmp-system-reset' }, atUs: ms * 1_000 },
      undefined,
    )!;
  expect(isOfSameRestart(reset('guest', 200), undefined)).toBe(false);
  expect([203, 345, 1_999].map((ms) => isOfSameRestart(reset('guest', ms), 0))).toEqual([true, true, true]);
  expect(isOfSameRestart(reset('guest', 2_000), 0)).toBe(false);
  expect(isOfSameRestart(reset('host', 100), 0)).toBe(false); // somebody pressed the button again
});
