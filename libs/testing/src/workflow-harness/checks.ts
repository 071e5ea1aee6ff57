import type { WorkflowDefinition } from '@chrysalis/contracts';
import { Ledger } from './ledger.ts';
import { taskAt, type RunResult } from './types.ts';

/** What must hold of every run, worked out from the log and the effects alone: nothing here is taken from the engine. */
export const check = (definition: WorkflowDefinition, run: RunResult): string[] => {
  const ledger = new Ledger(definition);
  for (const event of run.log) ledger.follow(event);
  const problems = [...run.troubles, ...ledger.problems];
  if (!ledger.end) return [...problems, 'neither progress nor verdict: it never ended'];
  const say = (bad: boolean, message: string): void => void (bad && problems.push(message));
  const under = [...ledger.entries].filter(([, e]) => e.open.size > 0).map(([name]) => name);
  say(under.length > 0 && !ledger.abandoned, `it ended while under way: ${under.join()}`);
  checkCause(ledger, say);
  checkEnd(ledger, run.effects, say);
  return problems;
};

type Say = (bad: boolean, message: string) => void;

/** The first one that was not repaired: an injected failure, a cancel, or the workflow's own deadline. */
const checkCause = ({ end, troubles, otherCause }: Ledger, say: Say): void => {
  const { state, cause } = end!;
  if (state === 'succeeded') return say(cause !== undefined, 'it succeeded, and names a cause');
  const first = otherCause ?? troubles[0]?.cause;
  const same = first ? JSON.stringify(cause) === JSON.stringify(first) : cause?.code === 'workflow.deadline_passed';
  say(!same, `the cause is ${cause?.code} ${cause?.message}, the first was ${first?.code} ${first?.message}`);
  const named = otherCause === undefined || ['workflow.deadline_passed', 'workflow.undo_asked'].includes(otherCause.code);
  say(!named, `it was undone for ${otherCause?.code}, which no event before tells`);
};

const checkEnd = (ledger: Ledger, effects: ReadonlySet<string>, say: Say): void => {
  const { end, entries, abandoned, committed } = ledger;
  const names = [...entries.keys()];
  const compensated = names.filter((n) => entries.get(n)!.compensated);
  const toUndo = names.filter((n) => ledger.definitionOf(n).compensation && entries.get(n)!.mayHaveEffect);
  const there = new Set([...effects].map(taskAt));
  const left = toUndo.filter((n) => there.has(n));
  const notUndone = toUndo.filter((n) => !entries.get(n)!.compensated);
  const missing = sorted(end!.missing ?? []);
  const outcome = (n: string): string => entries.get(n)?.outcome ?? 'none';
  switch (end!.state) {
    case 'succeeded':
      for (const n of ledger.names()) say(!['done', 'skipped'].includes(outcome(n)), `it succeeded, and ${n} is ${outcome(n)}`);
      for (const n of names)
        say(outcome(n) === 'done' && !ledger.fans.has(n) && !there.has(n), `${n} succeeded, and its effect is not there`);
      return say(compensated.length > 0, `it succeeded, but undid ${compensated.join()}`);
    case 'undone':
      say(abandoned, 'it was given up, and says that it is undone');
      return undone();
    case 'cancelled':
      say(!ledger.troubles.some((t) => t.task === undefined), 'it is cancelled, and nobody asked');
      if (!abandoned) return undone();
      say(ledger.compensating, 'it was given up while it was being undone, and says nothing of that');
      return say(missing !== sorted(notUndone), `it names ${missing}, not undone are ${sorted(notUndone)}`);
    case 'failed':
      say(ledger.compensationFailures === 0 && !abandoned, 'it is failed, but no undo failed for good');
      say(missing !== sorted(notUndone), `it names ${missing}, not undone are ${sorted(notUndone)}`);
      for (const n of left) say(!end!.missing?.includes(n), `the effect of ${n} is left, and nobody says so`);
      return;
    case 'stopped': {
      const counts = (n: string): boolean => !n.includes('.') || (entries.get(n)?.attempts.run ?? 0) > 0;
      const notDone = ledger.names().filter((n) => counts(n) && !['done', 'skipped'].includes(outcome(n)));
      say(!committed, 'it stopped before a point of no return');
      say(missing !== sorted(notDone), `it names ${missing} as missing, not done are ${sorted(notDone)}`);
      return say(compensated.length > 0, `it is past its point of no return, but undid ${compensated.join()}`);
    }
    default:
      return say(true, `${end!.state} is no final state`);
  }
  function undone(): void {
    say(sorted(compensated) !== sorted(toUndo), `it undid ${sorted(compensated)}, and had to undo ${sorted(toUndo)}`);
    say(left.length > 0, `effects are left: ${left.join()}`);
    say(committed, 'it undid past its point of no return');
    say(end!.missing !== undefined, `it is undone, and names ${missing}`);
  }
};

const sorted = (names: readonly string[]): string => [...names].sort().join();
