import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { faultsIn, faultText } from './faults.ts';

const Shape = z.object({
  name: z.string(),
  disks: z.array(z.union([z.strictObject({ id: z.string() }), z.strictObject({ pool: z.object({ sizeMiB: z.int() }) })])),
});
const errorOf = (schema: z.ZodType, value: unknown): z.ZodError => schema.safeParse(value).error!;

test('a key of a record: what the key is at fault in', () => {
  const { error } = z.record(z.string().regex(/^[a-z]+$/, 'letters'), z.string()).safeParse({ 'a b': 'c' });
  expect(faultText(error!)).toBe('a b: letters');
});

test('every fault in one line, each with its place; of a choice, those of the shape that comes nearest', () => {
  const error = errorOf(Shape, { disks: [{ id: 'root' }, { pool: { sizeMiB: 'much' } }] });
  expect(faultText(error)).toBe('name: text, and it is missing; disks.1.pool.sizeMiB: a number, not text');
  expect(faultText(error, 20)).toBe('name: text, and it i');
});

test('a fault of the value itself has the place that it is given, and none in a line', () => {
  const error = errorOf(z.int().max(5), 6);
  expect(faultsIn(error, '(body)')).toEqual([{ path: '(body)', message: 'at most 5' }]);
  expect(faultText(error)).toBe('at most 5');
});

test('a hundred faults at most', () => {
  expect(faultsIn(errorOf(z.array(z.int()), Array.from({ length: 300 }, String)))).toHaveLength(100);
});

test('whatever a schema finds is told in the same words, and a member too many at its own place', () => {
  const Many = z.strictObject({
    n: z.int().min(1),
    kind: z.enum(['a', 'b']),
    one: z.literal('x'),
    list: z.array(z.string()).max(1),
    text: z.string().max(2),
    at: z.iso.datetime(),
    own: z.string().regex(/^[a-z]+$/, 'small letters'),
    by: z.number().multipleOf(128),
    what: z.discriminatedUnion('kind', [z.object({ kind: z.literal('p') })]),
  });
  const given = {
    n: 0.5,
    kind: 'c',
    one: 'y',
    list: ['a', 'b'],
    text: 'abc',
    at: 'soon',
    own: 'A',
    by: 5,
    what: { kind: 'q' },
    colour: 'red',
  };
  expect(Object.fromEntries(faultsIn(errorOf(Many, given)).map((f) => [f.path, f.message]))).toEqual({
    n: expect.stringMatching(/^(a whole number, not 0\.5|at least 1)$/),
    kind: 'one of a, b',
    one: '"x"',
    list: 'at most 1 element',
    text: 'at most 2 characters',
    at: 'an instant such as 2026-11-30T08:00:00Z',
    own: 'small letters',
    by: 'a multiple of 128',
    'what.kind': expect.stringMatching(/^(one of p|"p")$/),
    colour: 'there is no such member',
  });
  expect(faultText(errorOf(z.union([z.object({ a: z.string() }), z.int()]), true))).not.toMatch(/Invalid|expected/);
});
