import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LogLine, Progress } from '@chrysalis/api-client';
import { logLine } from './log-line.ts';
import { Transfers } from './transfer.ts';

const MiB = 1_048_576;
const at = (n: number): string => new Date(1_800_000_000_000 + n * 100).toISOString();
const sample = (n: number, more: Partial<Progress> = {}): Progress => ({
  vmId: 'vm-1',
  moveId: 'mov-1',
  phase: 'active',
  bytesTotal: 100 * MiB,
  bytesRemaining: 100 * MiB,
  bytesTransferred: 0,
  dirtyPagesPerSecond: 7,
  mbps: 80,
  at: at(n),
  ...more,
});
const dispatched = (workflowId = 'mov-1') => ({
  event: 'chrysalis.workflow.task.dispatched.v1',
  data: { data: { kind: 'host.transfer', workflowId } },
});
const figures = (text: string) => ({ filled: text.split('#').length - 1, sent: Number(/: ([\d.]+) MiB transferred/.exec(text)![1]) });

describe('a transfer as it is shown', () => {
  test('phase, bytes sent and left, rate; a line now and then, and one for each phase', () => {
    const t = new Transfers();
    expect(t.sample(sample(1), 0)).toBeUndefined(); // nobody said that it is ours
    t.heard(dispatched());
    expect(t.sample(sample(2, { bytesTransferred: 25 * MiB, bytesRemaining: 75 * MiB }), 0)).toEqual({
      text: '[#####...............] vm-1 active: 25.0 MiB transferred, 75.0 MiB of 100.0 MiB remain, 80 Mbit/s, 7 dirty pages/s',
      due: true,
    });
    expect(t.sample(sample(3), 500)!.due).toBe(false);
    expect(t.sample(sample(4, { phase: 'device' }), 600)!.due).toBe(true);
    expect(t.sample(sample(5, { phase: 'device' }), 2_600)!.due).toBe(true);
    expect(t.sample(sample(6, { moveId: 'mov-2' }))).toBeUndefined();
  });

  test('whatever samples come, late or twice, it never runs backwards; a transfer that is begun anew begins anew', () => {
    const any = fc.record({ n: fc.nat(40), sent: fc.nat(300), left: fc.nat(120), total: fc.nat(120) });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 40 }), (samples) => {
        const t = new Transfers();
        t.heard(dispatched());
        let last = { filled: 0, sent: 0 };
        for (const { n, sent, left, total } of samples) {
          const shown = t.sample(sample(n, { bytesTransferred: sent * MiB, bytesRemaining: left * MiB, bytesTotal: total * MiB }));
          if (!shown) continue;
          const now = figures(shown.text);
          expect(now.filled).toBeGreaterThanOrEqual(last.filled);
          expect(now.sent).toBeGreaterThanOrEqual(last.sent);
          last = now;
        }
      }),
    );
    const t = new Transfers();
    t.heard(dispatched());
    t.sample(sample(1, { bytesTransferred: 50 * MiB, bytesRemaining: 0 }));
    t.heard(dispatched());
    expect(figures(t.sample(sample(2))!.text)).toEqual({ filled: 0, sent: 0 });
  });
});

test('a line of a log: when, whose, which step, what, and below it what was said', () => {
  const line: LogLine = { position: '1', at: '2026-11-23T09:00:01.250Z', level: 'error', vmId: 'vm-0199c0de-web00001', section: 'post-migration', step: 'announce', message: 'failed' }; // prettier-ignore
  expect(logLine({ ...line, said: { exitCode: 3, stdout: '', stderr: 'no route\nto host\n' } })).toBe(
    [
      '09:00:01.250 x web00001  post-migration/announce  failed',
      '              exitCode: 3',
      '              stderr:',
      '                no route',
      '                to host',
    ].join('\n'),
  );
});
