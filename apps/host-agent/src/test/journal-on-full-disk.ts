import { appendFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Journal } from '../durable/journal.ts';
import { reportOf } from './fixtures.ts';

/** Run with a directory on a small file system of its own: fills it, and says what came of each result. */
const dir = process.argv[2]!;
const fill = join(dir, 'fill');
const until = (bytes: number): void => {
  writeFileSync(fill, '');
  for (let size = bytes; size >= 1; size = Math.floor(size / 2))
    try {
      for (;;) appendFileSync(fill, 'x'.repeat(size));
    } catch {
      // no room for so many: fewer
    }
};
const refused: unknown[] = [];
const add = (journal: Journal, id: string): Promise<unknown> =>
  journal.add(reportOf(id, 'x'.repeat(6_000))).catch((error: NodeJS.ErrnoException) => refused.push(error.code));

const journal = await Journal.open(join(dir, 'journal'), 2);
await add(journal, 'op-0');
await add(journal, 'op-1');
until(4_096);
await add(journal, 'op-2'); // torn: a part of it finds room
await add(journal, 'op-3');
await journal.close();
const again = await Journal.open(join(dir, 'journal'), 2);
const openedWhileFull = again.unacknowledged().map((r) => r.workflowId);
await add(again, 'op-3');
unlinkSync(fill);
for (const id of ['op-2', 'op-4', 'op-5']) await add(again, id);
await again.close();
const last = await Journal.open(join(dir, 'journal'), 2);
console.log(JSON.stringify({ refused, openedWhileFull, afterwards: last.unacknowledged().map((r) => r.workflowId) }));
await last.close();
