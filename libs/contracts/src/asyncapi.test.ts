import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { asyncapi, contexts, contractOf, eventsTopic } from './index.ts';

// The parser is CommonJS with dynamic requires that Jest's ESM loader does not take: it runs in a Node of its own.
const parse = async (document: unknown): Promise<{ severity: number; code: string; message: string; path: string[] }[]> => {
  const script = `
    const { Parser } = require('@asyncapi/parser');
    let text = '';
    process.stdin.on('data', (d) => (text += d)).on('end', async () => {
      const { document, diagnostics } = await new Parser().parse(text);
      process.stdout.write(JSON.stringify({ parsed: document !== undefined, diagnostics }));
    });`;
  const running = promisify(execFile)(process.execPath, ['-e', script], { cwd: import.meta.dirname, maxBuffer: 64 << 20 });
  running.child.stdin!.end(JSON.stringify(document));
  const { parsed, diagnostics } = JSON.parse((await running).stdout);
  expect(parsed).toBe(true);
  return diagnostics;
};

describe('the AsyncAPI document', () => {
  test('is one that a parser accepts, without an error or a warning', async () => {
    const faults = (await parse(asyncapi())).filter((d) => d.severity <= 1);
    expect(faults.map((d) => `${d.path.join('/')}: ${d.message}`)).toEqual([]);
  });

  test('has every event in its channel', () => {
    const { channels, components } = asyncapi() as {
      channels: Record<string, { address: string; messages: Record<string, unknown> }>;
      components: { messages: Record<string, unknown> };
    };
    for (const context of contexts) expect(channels[`${context}.events`]!.address).toBe(eventsTopic(context));
    const sent = contexts.flatMap((c) => Object.keys(channels[`${c}.events`]!.messages));
    expect(sent.sort()).toEqual([...contractOf.keys()].sort());
    expect(Object.keys(components.messages)).toEqual(expect.arrayContaining(sent));
  });
});
