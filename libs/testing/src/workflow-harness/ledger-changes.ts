import type { Change, TaskDefinition } from '@chrysalis/contracts';
import { dependantsOf, dependenciesOf } from './dependencies.ts';
import type { LedgerState } from './ledger-state.ts';

/** What an accepted change means, in the harness' own words. */
export const applyChange = (ledger: LedgerState, change: Change): void => {
  switch (change.type) {
    case 'pause':
      return void (ledger.paused = true);
    case 'resume':
      return void (ledger.paused = false);
    case 'add-task':
      for (const name of change.before ?? []) edit(ledger, name, (t) => ({ ...t, after: [...(t.after ?? []), change.task.name] }));
      return put(ledger, change.task);
    case 'duplicate-task': {
      const { pointOfNoReturn: _, ...copy } = ledger.tasks.get(change.task)!;
      return put(ledger, { ...copy, name: change.as, ...(change.route ? { route: change.route } : {}) });
    }
    case 'replace-task':
      untouched(ledger, change.task);
      return put(ledger, change.with);
    case 'rewire': {
      untouched(ledger, change.task);
      const { input, after } = change;
      return edit(ledger, change.task, (t) => ({ ...t, ...(input ? { input } : {}), ...(after ? { after } : {}) }));
    }
    case 'reassign':
      if (ledger.tasks.has(change.task)) edit(ledger, change.task, (t) => ({ ...t, route: change.route }));
      supersede(ledger, change.task);
      return void (ledger.entry(change.task).begun = false);
    case 'set-limits': {
      const { task, concurrency } = change;
      if (task !== undefined && concurrency !== undefined)
        edit(ledger, task, (t) => ({ ...t, ...(t.forEach ? { forEach: { ...t.forEach, concurrency } } : {}) }));
      return;
    }
    case 'skip-task':
      return byHand(ledger, change.task, 'skipped');
    case 'mark-done':
      return byHand(ledger, change.task, 'done');
    case 'retry-from':
      return again(ledger, change.task);
  }
};

const put = (ledger: LedgerState, task: TaskDefinition): void => {
  ledger.tasks.set(task.name, task);
  ledger.dependencies = dependenciesOf([...ledger.tasks.values()]);
};
const edit = (ledger: LedgerState, name: string, by: (task: TaskDefinition) => TaskDefinition): void =>
  put(ledger, by(ledger.tasks.get(name)!));

const untouched = (ledger: LedgerState, name: string): void => {
  const entry = ledger.entries.get(name);
  if (entry && (entry.begun || entry.outcome !== 'none' || entry.mayHaveEffect))
    ledger.problems.push(`${name} had begun, and was rewritten`);
};

/** Nobody is listened to any more, and it begins anew. */
const supersede = (ledger: LedgerState, name: string): void => {
  const entry = ledger.entry(name);
  entry.open.clear();
  entry.offer = undefined;
};

/** A stopped instance goes on: what was under way begins anew. */
const reopen = (ledger: LedgerState): void => {
  if (!ledger.end) return;
  if (ledger.end.state !== 'stopped') ledger.problems.push(`it was ${ledger.end.state}, and goes on`);
  ledger.end = undefined;
  ledger.abandoned = ledger.paused = false;
  ledger.troubles = ledger.troubles.filter((t) => t.task !== undefined);
  for (const [name, entry] of ledger.entries) {
    supersede(ledger, name);
    entry.begun = false;
  }
};

const byHand = (ledger: LedgerState, name: string, outcome: 'done' | 'skipped'): void => {
  reopen(ledger);
  supersede(ledger, name);
  const entry = ledger.entry(name);
  if (entry.outcome === 'done') ledger.problems.push(`${name} was done, and is ${outcome} by hand`);
  entry.outcome = outcome;
  entry.begun = false;
  if (outcome === 'done' && !ledger.isWhole(name)) entry.mayHaveEffect = true;
  ledger.troubles = ledger.troubles.filter((t) => t.task !== name);
  if (outcome === 'done' && ledger.definitionOf(name).pointOfNoReturn) ledger.commit();
};

/** The task, its failed items, and all that depends on them. */
const again = (ledger: LedgerState, name: string): void => {
  reopen(ledger);
  const failed = ledger.itemsOf(name).filter((n) => ledger.entry(n).outcome === 'failed');
  const all = new Set([name, ...failed].flatMap((n) => [n, ...dependantsOf(ledger, n)]));
  for (const n of all) {
    const entry = ledger.entry(n);
    if (entry.open.size > 0) ledger.problems.push(`${n} was under way, and begins anew`);
    if (entry.outcome === 'done' && ledger.definitionOf(n).pointOfNoReturn) ledger.problems.push(`${n} has passed, and runs again`);
    supersede(ledger, n);
    entry.outcome = 'none';
    entry.begun = false;
  }
  ledger.troubles = ledger.troubles.filter((t) => t.task === undefined || !all.has(t.task));
};
