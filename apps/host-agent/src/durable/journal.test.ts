import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Journal } from './journal.ts';
import { reportOf } from '../test/fixtures.ts';

describe('the journal of results', () => {
  let dir: string;
  const file = (): string => join(dir, 'reports.ndjson');
  const unacknowledged = async (): Promise<string[]> => {
    const journal = await Journal.open(dir);
    await journal.close();
    return journal.unacknowledged().map((r) => r.workflowId);
  };
  beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'chrysalis-journal-'))));
  afterEach(() => rm(dir, { recursive: true, force: true }));

  test('a line that was torn by a crash takes nothing with it, also where one was written behind it', async () => {
    const journal = await Journal.open(dir);
    await journal.add(reportOf('op-a'));
    await journal.close();
    await appendFile(file(), '{"report":{"workflowId":"op-b","ta');
    const after = await Journal.open(dir);
    await after.add(reportOf('op-c'));
    await after.close();
    expect(await unacknowledged()).toEqual(['op-a', 'op-c']);
    // As versions of before left it.
    await writeFile(
      file(),
      `${JSON.stringify({ report: reportOf('op-1') })}\n{"report":{"wor${JSON.stringify({ report: reportOf('op-2') })}\n`,
    );
    expect(await unacknowledged()).toEqual(['op-1', 'op-2']);
  });

  test('a crash after any byte leaves every result that was kept before', async () => {
    const journal = await Journal.open(dir);
    for (const id of ['op-1', 'op-2', 'op-3']) await journal.add(reportOf(id));
    await journal.close();
    const whole = await readFile(file());
    const ends = [...whole.toString()].flatMap((c, i) => (c === '\n' ? [i + 1] : []));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length }), async (bytes) => {
        await writeFile(file(), whole.subarray(0, bytes));
        const kept = ends.filter((end) => end <= bytes).length;
        const again = await Journal.open(dir);
        await again.add(reportOf('op-new'));
        await again.close();
        const expected = ['op-1', 'op-2', 'op-3'].slice(0, kept);
        // Whole but for its line's end: it was never answered for, and it is true.
        const found = await unacknowledged();
        expect(found.filter((id) => id !== 'op-new').slice(0, kept)).toEqual(expected);
        expect(found).toContain('op-new');
      }),
      { numRuns: 40 },
    );
  });

  test('on a disk that is full nothing that was kept is lost, and what is added when there is room again is there', async () => {
    const root = resolve(import.meta.dirname, '../../../..');
    const script = [
      `mount -t tmpfs -o size=64k none ${dir} &&`,
      `exec ${process.execPath} --disable-warning=ExperimentalWarning --import ${root}/tools/node/register.mjs`,
      `${import.meta.dirname}/../test/journal-on-full-disk.ts ${dir}`,
    ].join(' ');
    const { stdout } = await promisify(execFile)('unshare', ['-rm', 'sh', '-c', script]);
    expect(JSON.parse(stdout)).toEqual({
      refused: ['ENOSPC', 'ENOSPC', 'ENOSPC'],
      openedWhileFull: ['op-0', 'op-1'],
      afterwards: ['op-0', 'op-1', 'op-2', 'op-4', 'op-5'],
    });
  });
});
