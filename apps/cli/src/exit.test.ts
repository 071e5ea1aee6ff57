import { describe, expect, test } from '@jest/globals';
import { CODES } from '@chrysalis/contracts/codes';
import type { Command } from 'commander';
import { ApiError } from '@chrysalis/api-client';
import { exitCodeOf, explain } from './exit.ts';
import { buildProgram } from './program.ts';

/** The commands that a text names, each followed as far as its words are commands. */
const named = (text: string): { words: string; ends: Command }[] =>
  [...text.matchAll(/\bchrysalis ([a-z][a-z -]*)/g)].map(([, words]) => {
    let ends: Command = buildProgram();
    for (const word of words!.trim().split(' ')) {
      const next = ends.commands.find((c) => c.name() === word);
      if (!next) break;
      ends = next;
    }
    return { words: words!, ends };
  });

describe('what to do next', () => {
  test('names only commands that there are', () => {
    const all = Object.entries(CODES).flatMap(([code, { next }]) =>
      [next].flat().flatMap((text) => named(text).map((n) => ({ code, ...n }))),
    );
    expect(all.length).toBeGreaterThan(30);
    const wrong = all.filter(({ ends }) => ends.parent === null || (ends.commands.length > 0 && !ends.registeredArguments.length));
    expect(wrong.map(({ code, words }) => `${code}: chrysalis ${words}`)).toEqual([]);
  });

  test('is what the server says, filled with what it knows; and for what never came to a server, ours', () => {
    const inMove = { code: 'vm.in_move', title: 'The VM is in a move', vmId: 'web' };
    expect(explain(ApiError.of(409, { ...inMove, next: 'chrysalis vm get web' }))).toMatch(/\nnext: chrysalis vm get web$/);
    expect(explain(ApiError.of(409, inMove))).toMatch(/\nnext: chrysalis vm get web shows the move that has it/);
    expect(explain(ApiError.of(409, { code: 'made.up', title: 'by a newer server' }))).toBe('error made.up: by a newer server');
  });

  test('and the exit code follows from status and code alone', () => {
    const exit = (status: number, code: string) => exitCodeOf(ApiError.of(status, { code, title: 'x' }));
    expect([exit(404, 'vm.unknown'), exit(422, 'template.unknown'), exit(404, 'made.up')]).toEqual([3, 3, 3]);
    expect([exit(422, 'workflow.template_invalid'), exit(400, 'request.malformed'), exit(422, 'made.up')]).toEqual([2, 2, 2]);
    expect([exit(409, 'vm.in_move'), exit(412, 'stream.version_mismatch'), exit(429, 'workflow.queue_full')]).toEqual([4, 4, 4]);
    expect([exit(403, 'grant.expired'), exit(503, 'service.contended'), exit(500, 'service.fault')]).toEqual([7, 5, 1]);
  });
});
