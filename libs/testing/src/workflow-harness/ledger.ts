import type { WorkflowEvent } from '@chrysalis/contracts';
import { applyChange } from './ledger-changes.ts';
import { LedgerState, type DataOf, type Entry, type Execution } from './ledger-state.ts';
import { Rules } from './rules.ts';

type Undoing = Extract<
  WorkflowEvent,
  { type: `chrysalis.workflow.${'compensation.started' | 'compensation.failed' | 'task.compensated'}.v1` }
>;
type Beginning = Extract<WorkflowEvent, { type: `chrysalis.workflow.instance.${'started' | 'queued'}.v1` }>;
/** The log, read by the harness alone: nothing here is taken from the engine. */
export class Ledger extends LedgerState {
  readonly #rules = new Rules(this);

  follow(event: WorkflowEvent): void {
    const again = event.type === 'chrysalis.workflow.instance.changed.v1' || event.type === 'chrysalis.workflow.compensation.started.v1';
    if (this.end && !again) this.problems.push(`${event.type} came after the end`);
    switch (event.type) {
      case 'chrysalis.workflow.task.dispatched.v1':
        this.#rules.dispatched(event.data);
        return this.#dispatched(event.data);
      case 'chrysalis.workflow.task.offered.v1':
        this.#rules.begins(event.data.task, 'offered');
        this.entry(event.data.task).begun = true;
        return void (this.entry(event.data.task).offer = { ...event.data, bids: [] });
      case 'chrysalis.workflow.bid.received.v1':
        this.#rules.bid(event.data);
        return void this.entry(event.data.task).offer?.bids.push(event.data);
      case 'chrysalis.workflow.heartbeat.recorded.v1':
        return this.#rules.heard(event.data);
      case 'chrysalis.workflow.task.expanded.v1':
        this.#rules.begins(event.data.task, 'expanded');
        return void this.fans.set(event.data.task, event.data.count);
      case 'chrysalis.workflow.task.skipped.v1':
        return this.#settle(event.data.task, 'skipped');
      case 'chrysalis.workflow.task.succeeded.v1':
        return this.#succeeded(event.data);
      case 'chrysalis.workflow.task.failed.v1':
        return this.#failed(event.data);
      case 'chrysalis.workflow.cancel.requested.v1': {
        this.abandoned = event.data.compensate === false;
        this.paused = false;
        return void this.troubles.push({ task: undefined, cause: { code: 'workflow.cancelled', message: event.data.reason } });
      }
      case 'chrysalis.workflow.instance.changed.v1':
        return applyChange(this, event.data.change);
      case 'chrysalis.workflow.instance.ended.v1':
        return void (this.end = event.data);
      default:
        return this.#ofUndo(event);
    }
  }

  #ofUndo(event: Undoing | Beginning): void {
    switch (event.type) {
      case 'chrysalis.workflow.compensation.started.v1':
        this.#rules.compensationStarted();
        this.end = undefined;
        this.compensating = true;
        this.paused = false;
        for (const entry of this.entries.values()) entry.offer = undefined;
        return void (this.troubles.length === 0 && (this.otherCause = event.data.cause));
      case 'chrysalis.workflow.task.compensated.v1':
        return this.#compensated(event.data);
      case 'chrysalis.workflow.compensation.failed.v1':
        if (!this.#nobodyKnowsWhere(event.data)) this.#close(event.data.task, 'compensate', event.data.attempt);
        return void (this.compensationFailures += event.data.final ? 1 : 0);
      case 'chrysalis.workflow.instance.started.v1':
      case 'chrysalis.workflow.instance.queued.v1':
        return;
    }
  }

  #dispatched(data: Execution): void {
    const entry = this.entry(data.task);
    entry.attempts[data.action] = data.attempt;
    entry.open.set(data.token, data);
    entry.offer = undefined;
    if (data.action === 'run') {
      entry.begun = entry.mayHaveEffect = true;
      entry.ran.add(this.placeOf(data));
    }
    this.token = data.token;
  }

  #compensated({ task, attempt, left = 0 }: DataOf<'task.compensated'>): void {
    const entry = this.entry(task);
    const execution = this.#close(task, 'compensate', attempt);
    if (execution) entry.undone.add(this.placeOf(execution));
    if (entry.placesLeft !== left) this.problems.push(`${task} is to be undone at ${left} more, and it ran at ${entry.placesLeft} more`);
  }

  /** Only an operator says that it was done: who is to undo it, nobody can say. */
  #nobodyKnowsWhere({ task, cause, final }: DataOf<'compensation.failed'>): boolean {
    return cause.code === 'workflow.executor_unresolved' && final && this.entry(task).ran.size === 0;
  }

  #close(task: string, action: 'run' | 'compensate', attempt: number): Execution | undefined {
    const { open } = this.entry(task);
    const found = [...open.values()].find((e) => e.action === action && e.attempt === attempt);
    if (found) open.delete(found.token);
    else this.problems.push(`${action} ${task} ${attempt} came to an end, and was not under way`);
    return found;
  }

  #settle(task: string, outcome: Entry['outcome']): void {
    const entry = this.entry(task);
    entry.outcome = outcome;
    entry.begun = false;
    entry.offer = undefined;
  }

  #succeeded({ task, attempt }: DataOf<'task.succeeded'>): void {
    const entry = this.entry(task);
    if (entry.outcome === 'done') this.problems.push(`${task} succeeded twice`);
    if (this.fans.has(task)) this.#rules.joined(task);
    else this.#close(task, 'run', attempt);
    for (const [token, e] of entry.open) if (e.action === 'run') entry.open.delete(token); // the other one of a hedge
    this.#settle(task, 'done');
    if (this.definitionOf(task).pointOfNoReturn) this.commit();
  }

  #failed({ task, attempt, cause, final }: DataOf<'task.failed'>): void {
    const entry = this.entry(task);
    if (entry.open.size > 0) this.#close(task, 'run', attempt);
    entry.offer = undefined;
    if (!final) return;
    this.#settle(task, 'failed');
    this.troubles.push({ task, cause });
  }
}
