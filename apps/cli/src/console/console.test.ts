import { describe, expect, test } from '@jest/globals';
import { Escape } from './escape.ts';
import { PlainText, plain } from './plain.ts';

describe('the way out', () => {
  const typed = (...pieces: string[]): [string, boolean] => {
    const escape = new Escape();
    const taken = pieces.map((p) => escape.take(Buffer.from(p)));
    return [taken.map((t) => t.bytes.toString()).join(''), taken.some((t) => t.left)];
  };
  test.each([
    [['ls\r'], 'ls\r', false],
    [['a\x1db'], 'a', true],
    [['~.'], '', true],
    [['ls\r', '~', '.rest'], 'ls\r', true],
    [['a~.'], 'a~.', false],
    [['\r~~.'], '\r~.', false],
    [['\r~x'], '\r~x', false],
  ])('%j sends %j, and has left: %j', (pieces, sent, left) => expect(typed(...pieces)).toEqual([sent, left]));
});

describe('a log for a terminal', () => {
  test.each([
    ['\x1b[31mred\x1b[0m\r\n', 'red\n'],
    ['\x1b]0;title\x07a\x1b]52;c;aGk=\x1b\\b', 'ab'],
    ['\x1bcreset\x1b(B\x07\x9b2Jx', 'reset2Jx'],
    ['tab\tstays\n', 'tab\tstays\n'],
  ])('%j is %j', (text, shown) => {
    expect(plain(text)).toBe(shown);
    const one = new PlainText();
    expect([...Buffer.from(text)].map((byte) => one.add(Buffer.of(byte))).join('')).toBe(shown);
  });

  test('a sequence without an end holds back no more than so much', () => {
    const text = new PlainText();
    expect(text.add(Buffer.from(`\x1b]${'x'.repeat(1_000)}`)) + text.add(Buffer.from('y'))).toContain('xy');
  });
});
