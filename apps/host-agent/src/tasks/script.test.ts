import { describe, expect, test } from '@jest/globals';
import { GuestError } from '@chrysalis/contracts';
import { causeOf } from '../execution/cause.ts';
import { judged } from './script.ts';

const ended = (exitCode: number, said: { stdout?: string; stderr?: string } = {}) =>
  Promise.resolve({ exitCode, stdout: '', stderr: '', truncated: false, ms: 1, ...said });
const cause = (running: ReturnType<typeof ended>, ok?: number[]) => judged(running, ok).then(() => undefined, causeOf);

describe('what came of a script', () => {
  test('0 is fine, and what the step lists', async () => {
    expect(await judged(ended(0))).toMatchObject({ exitCode: 0 });
    expect(await judged(ended(3), [2, 3])).toMatchObject({ exitCode: 3 });
    expect((await cause(ended(4), [2, 3]))?.code).toBe('guest.script_failed');
  });

  test('any other exit code is a failure that says what the script said, of both streams the one that complains', async () => {
    const failure = await cause(ended(3, { stdout: 'stopping', stderr: 'no such service: db\n' }));
    expect(failure).toEqual({
      code: 'guest.script_failed',
      message: 'the script ended with exit code 3; it said: no such service: db',
      retriable: true,
      detail: { exitCode: 3, stdout: 'stopping', stderr: 'no such service: db\n', truncated: false, ms: 1 },
    });
    expect((await cause(ended(1, { stdout: 'out\n' })))?.message).toBe('the script ended with exit code 1; it said: out');
    expect((await cause(ended(137)))?.message).toBe('the script ended with exit code 137; it said nothing');
  });

  test('of much that was said the end', async () => {
    const { message } = (await cause(ended(1, { stderr: `${'x'.repeat(16_000)} the reason` })))!;
    expect(message.length).toBeLessThan(700);
    expect(message).toMatch(/it said: …x+ the reason$/);
  });

  test('at its time limit too; a guest that says nonsense of it is not believed', async () => {
    const late = (detail: unknown) => Promise.reject(new GuestError('guest.script_timeout', 'the script did not end in 300 ms', detail));
    expect(await cause(late({ stdout: 'waiting for db', stderr: '' }))).toMatchObject({
      code: 'guest.script_timeout',
      message: 'the script did not end in 300 ms; it said: waiting for db',
    });
    for (const detail of [undefined, null, 7, { stdout: 7, stderr: { a: 1 } }])
      expect((await cause(late(detail)))?.message).toBe('the script did not end in 300 ms; it said nothing');
  });

  test('other failures pass as they are', async () => {
    const lost = new GuestError('guest.agent_restarted', 'another agent process answers');
    await expect(judged(Promise.reject(lost))).rejects.toBe(lost);
  });
});
