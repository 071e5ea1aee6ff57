import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { root } from '../run/platform.ts';
import { generate, wholeDocument } from './generated.ts';

test('the client’s types are those of the routes as they are: else run tools/api-client/main.ts', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'chrysalis-client-'));
  try {
    await generate(folder);
    const kept = path.join(root, 'libs/api-client/src/generated');
    const of = (from: string): object => Object.fromEntries(readdirSync(from).map((f) => [f, readFileSync(path.join(from, f), 'utf8')]));
    expect(Object.keys(of(folder)).sort()).toEqual(['routes.gen.ts', 'types.gen.ts']);
    expect(of(kept)).toEqual(of(folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every route says what it answers: JSON by a schema, or the media type', () => {
  const silent = Object.entries(wholeDocument().paths).flatMap(([at, operations]) =>
    Object.entries(operations)
      .filter(
        ([, { responses }]) => !Object.entries(responses).some(([status, r]) => status < '300' && (r as { content?: object }).content),
      )
      .map(([method]) => `${method} ${at}`),
  );
  expect(silent).toEqual([]);
});
