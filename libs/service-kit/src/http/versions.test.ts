import { describe, expect, test } from '@jest/globals';
import { isContention } from '@chrysalis/event-store';
import { refusal } from './versions.ts';

describe('a command that was refused', () => {
  const moved = { code: 'stream.version_mismatch', stream: 'vol-1', expected: 3, actual: 4 } as const;

  test('at a version that its caller did not name has lost a race, and is done again', () => {
    expect(isContention(refusal(undefined, moved))).toBe(true);
  });
  test('at the version that its caller named is told so, and so is any other refusal', () => {
    expect(isContention(refusal(3, moved))).toBe(false);
    expect(refusal(3, moved)).toMatchObject({ problem: { code: 'stream.version_mismatch', status: 412 } });
    expect(refusal(undefined, { code: 'address.unknown', addressId: 'a' })).toMatchObject({
      problem: { code: 'address.unknown', status: 404 },
    });
  });
});
