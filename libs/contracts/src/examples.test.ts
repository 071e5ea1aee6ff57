import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { contractOf } from './index.ts';

/**
 * The corpus: one example of every event version ever shipped, frozen when it was. A change here that is not a new file breaks a
 * promise to stored history.
 */
const folder = join(import.meta.dirname, '../examples');
const names = readdirSync(folder).filter((f) => f.endsWith('.json'));

describe('the corpus of events', () => {
  test('has one example of each contract, and none without', () => {
    expect(names.map((n) => n.replace(/\.json$/, '')).sort()).toEqual([...contractOf.keys()].sort());
  });

  test('gives each its own id', () => {
    const ids = names.map((n) => JSON.parse(readFileSync(join(folder, n), 'utf8')).id as string);
    expect(new Set(ids).size).toBe(names.length);
  });

  test.each(names)('%s parses, and parsing takes nothing away', (name) => {
    const stored = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    expect(`${stored.type}.json`).toBe(name);
    expect(stored).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      type: expect.any(String),
      stream: expect.stringMatching(/^[a-z-]+-/),
      version: expect.any(Number),
      meta: { at: expect.any(String), correlationId: expect.any(String), actor: expect.any(String), tenant: expect.any(String) },
      data: expect.any(Object),
    });
    expect(contractOf.get(stored.type)!.schema.parse(stored.data)).toEqual(stored.data);
  });
});
