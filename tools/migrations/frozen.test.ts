import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { migrationsIn } from '@chrysalis/event-store';
import { absolute, folders, sequences } from './sequences.ts';

const sums = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(path.join(absolute(folder), 'SHA256SUMS'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => line.split('  ').toReversed() as [string, string]),
  );

describe('migrations', () => {
  // Databases have run them: an edit would reach new ones alone. A change is a new file, whose line `sha256sum` adds.
  test.each(folders())('%s: none was edited or taken away since it landed, and each new one has its line in SHA256SUMS', (folder) => {
    const files = migrationsIn(absolute(folder)).map(({ number, name }) => `${String(number).padStart(4, '0')}-${name}.sql`);
    const now = Object.fromEntries(
      files.map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(path.join(absolute(folder), file)))
          .digest('hex'),
      ]),
    );
    expect(now).toEqual(sums(folder));
  });

  test('of every service and of the bus are found here', () => {
    expect(Object.keys(sequences()).toSorted()).toEqual(
      ['agent_gateway', 'bus', 'migration_templates', 'provisioning', 'read', 'resource_allocation', 'workflow'].toSorted(),
    );
  });
});
