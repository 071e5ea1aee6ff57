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
  expect(faultText(error)).toBe(
    'name: Invalid input: expected string, received undefined; disks.1.pool.sizeMiB: Invalid input: expected number, received string',
  );
  expect(faultText(error, 20)).toBe('name: Invalid input:');
});

test('a fault of the value itself has the place that it is given, and none in a line', () => {
  const error = errorOf(z.int().max(5), 6);
  expect(faultsIn(error, '(body)')).toEqual([{ path: '(body)', message: 'Too big: expected number to be <=5' }]);
  expect(faultText(error)).toBe('Too big: expected number to be <=5');
});

test('a hundred faults at most', () => {
  expect(faultsIn(errorOf(z.array(z.int()), Array.from({ length: 300 }, String)))).toHaveLength(100);
});
