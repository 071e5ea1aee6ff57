import { describe, expect, test } from '@jest/globals';
import { fold } from '@chrysalis/kernel';
import { migrationTemplatesEvents as events, type Plan } from '@chrysalis/contracts';
import { outcomeOf, type AskApproval, type JudgeApproval } from './approval.ts';
import { migrationDecider, type MigrationCommand, type MigrationEvent } from './migration.ts';

const vmIds = ['vm-a', 'vm-b'];
const plan = {
  planId: 'plan-1',
  basis: { template: { name: 't', version: 1 } },
  moves: vmIds.map((vmId) => ({ vmId })),
} as unknown as Plan;
const move = (vmId: string) => ({ migrationId: 'mig-1', moveId: `mov-${vmId}`, vmId });
const running: MigrationEvent[] = [
  { type: events.migrationRequested.type, data: { migrationId: 'mig-1', plan, concurrency: 2 } },
  ...vmIds.map((vmId): MigrationEvent => ({ type: events.moveStarted.type, data: { ...move(vmId), request: {} as never } })),
];
const until = '2026-11-23T10:00:00.000Z';
const asks = (vmId: string, attempt = 1, onTimeout: 'abort' | 'switch' = 'abort'): AskApproval => ({
  ...{ kind: 'ask-approval', moveId: `mov-${vmId}`, attempt, until, onTimeout, meanwhile: true },
});
const says = (verdict: 'approved' | 'rejected', more: Partial<JudgeApproval> = {}): JudgeApproval => ({
  ...{ kind: 'judge-approval', migrationId: 'mig-1', verdict, by: 'user:anna' },
  ...more,
});

/** What each command leads to: its events, in short, or the code it is refused with. */
const story = (...commands: MigrationCommand[]) => {
  let history = running;
  const told = commands.map((command) => {
    const decided = migrationDecider.decide(command, fold(migrationDecider.evolve, migrationDecider.initial, history));
    if (!decided.ok) return decided.rejection.code;
    history = [...history, ...decided.events];
    return decided.events.map(({ type, data }) => [type.split('.').at(-2), ...('vmId' in data ? [data.vmId] : []), ...('verdict' in data ? [data.verdict] : [])].join(' ')); // prettier-ignore
  });
  const state = fold(migrationDecider.evolve, migrationDecider.initial, history);
  const approvalOf = (vmId: string) => (state.status === 'none' ? undefined : state.moves.find((m) => m.vmId === vmId)?.approval);
  return { told, approvalOf };
};

describe('an approval', () => {
  test('is asked of each VM by itself; one word answers all that wait, or the one that is named', () => {
    expect(story(asks('vm-a'), asks('vm-b'), says('approved', { vmId: 'vm-b' }), says('rejected')).told).toEqual([
      ['approval-asked vm-a'],
      ['approval-asked vm-b'],
      ['approval-settled vm-b approved'],
      ['approval-settled vm-a rejected'],
    ]);
  });

  test('that nobody waits for is refused; the same word again is no news, another one comes too late', () => {
    const { told } = story(says('approved'), asks('vm-a'), asks('vm-a'), says('approved'), says('approved'), says('rejected'));
    expect(told).toEqual([
      'migration.approval_not_asked',
      ['approval-asked vm-a'],
      [],
      ['approval-settled vm-a approved'],
      [],
      'migration.approval_settled',
    ]);
    expect(story(asks('vm-a'), says('approved', { vmId: 'vm-b' })).told[1]).toBe('migration.approval_not_asked');
  });

  test('after the end is refused, and so is a word about a migration that nobody knows', () => {
    const ended = vmIds.map((vmId) => ({ kind: 'end-move', moveId: `mov-${vmId}`, state: 'undone', starts: [] }) as const);
    expect(story(asks('vm-a'), ...ended, says('approved')).told.at(-1)).toBe('migration.ended');
    expect(migrationDecider.decide(says('approved'), migrationDecider.initial)).toMatchObject({ rejection: { code: 'migration.unknown' } });
  });

  test('stands for later attempts where it was given, and is asked anew by them where it was not', () => {
    expect(story(asks('vm-a'), says('approved'), asks('vm-a', 2)).told[2]).toEqual([]);
    const close = { kind: 'close-approval', moveId: 'mov-vm-a', verdict: 'moot' } as const;
    const { told, approvalOf } = story(asks('vm-a'), close, close, asks('vm-a'), asks('vm-a', 2));
    expect(told.slice(1)).toEqual([['approval-settled vm-a moot'], [], [], ['approval-asked vm-a']]);
    expect(approvalOf('vm-a')).toMatchObject({ attempt: 2, until });
    expect(approvalOf('vm-a')?.verdict).toBeUndefined();
  });

  test('leads to what its template says where nobody answers in time', () => {
    const late = { kind: 'close-approval', moveId: 'mov-vm-a', verdict: 'timed-out' } as const;
    const outcome = (onTimeout: 'abort' | 'switch') => outcomeOf(story(asks('vm-a', 1, onTimeout), late).approvalOf('vm-a')!);
    expect(outcome('switch')).toEqual({ approved: true });
    expect(outcome('abort')).toMatchObject({ approved: false, cause: { code: 'migration.approval_timed_out' } });
    const rejected = outcomeOf(story(asks('vm-a'), says('rejected', { reason: 'not today' })).approvalOf('vm-a')!);
    expect(rejected).toEqual({
      ...{ approved: false, by: 'user:anna' },
      cause: { code: 'migration.approval_rejected', message: 'user:anna rejected it: not today' },
    });
    expect(outcomeOf(story(asks('vm-a')).approvalOf('vm-a')!)).toBeUndefined();
  });
});
