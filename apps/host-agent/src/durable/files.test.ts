import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { removeDurably, writeDurably } from './files.ts';

describe('two who write one path at once', () => {
  test('leave the text of the last, whole, and nothing beside it', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'chrysalis-files-'));
    const file = path.join(folder, 'state.json');
    const texts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(200_000 - i * 9_000));
    await Promise.all(texts.map((text) => writeDurably(file, text)));
    expect((await readFile(file, 'utf8')) === texts.at(-1)).toBe(true);
    await Promise.all([writeDurably(file, 'a'), removeDurably(file), writeDurably(file, 'b')]);
    expect(await readFile(file, 'utf8')).toBe('b');
    expect(await readdir(folder)).toEqual(['state.json']);
  });

  test('one that fails does not keep the next from its turn', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'chrysalis-files-'));
    const file = path.join(folder, 'none', 'state.json');
    const both = await Promise.allSettled([writeDurably(file, 'a'), writeDurably(file, 'b')]);
    expect(both.map((r) => r.status)).toEqual(['rejected', 'rejected']);
    await expect(writeDurably(path.join(folder, 'state.json'), 'c')).resolves.toBeUndefined();
  });
});
