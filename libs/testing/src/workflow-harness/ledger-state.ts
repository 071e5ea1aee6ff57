import type { Cause, TaskDefinition, TaskReport, WorkflowDefinition, WorkflowEvent } from '@chrysalis/contracts';
import { dependenciesOf } from './dependencies.ts';
import { placeOf } from './types.ts';

export type DataOf<T extends string> = Extract<WorkflowEvent, { type: `chrysalis.workflow.${T}.v1` }>['data'];
export type Execution = DataOf<'task.dispatched'>;
export type OpenOffer = DataOf<'task.offered'> & { readonly bids: DataOf<'bid.received'>[] };

/** What the log says of one task or item. `outcome` is that of its run; `mayHaveEffect` stays, whatever is said later. */
export class Entry {
  outcome: 'none' | 'done' | 'skipped' | 'failed' = 'none';
  /** By `placeOf`: where it ran, and where of these it was undone. */
  readonly ran = new Set<string>();
  readonly undone = new Set<string>();
  /** Everywhere. What was done by hand is nowhere, and undone once somebody says so. */
  get compensated(): boolean {
    return this.undone.size > 0 && this.placesLeft === 0;
  }
  get placesLeft(): number {
    return [...this.ran].filter((place) => !this.undone.has(place)).length;
  }
  mayHaveEffect = false;
  /** It has been given out or offered, and has come to no end. */
  begun = false;
  readonly attempts = { run: 0, compensate: 0 };
  readonly open = new Map<number, Execution>();
  offer: OpenOffer | undefined;
}

/** `cancel` without a task: somebody asked. */
export type Trouble = { readonly task: string | undefined; readonly cause: Cause };

/** What the harness has read of the log. Breaches of the rules are collected in `problems`. */
export class LedgerState {
  readonly problems: string[] = [];
  readonly tasks: Map<string, TaskDefinition>;
  readonly fans = new Map<string, number>();
  readonly entries = new Map<string, Entry>();
  dependencies: ReadonlyMap<string, readonly string[]>;
  /** What went wrong and has not been repaired, the first one first. */
  troubles: Trouble[] = [];
  paused = false;
  committed = false;
  compensating = false;
  abandoned = false;
  compensationFailures = 0;
  token = 0;
  end: DataOf<'instance.ended'> | undefined;
  /** That compensation began for, where no task had failed. */
  otherCause: Cause | undefined;

  constructor(readonly definition: WorkflowDefinition) {
    this.tasks = new Map(definition.tasks.map((t) => [t.name, t]));
    this.dependencies = dependenciesOf(definition.tasks);
  }

  entry(name: string): Entry {
    const known = this.entries.get(name);
    if (known) return known;
    const fresh = new Entry();
    this.entries.set(name, fresh);
    return fresh;
  }
  /** Of an item: its forEach's. */
  definitionOf(name: string): TaskDefinition {
    return this.tasks.get(name.split('.')[0]!)!;
  }
  placeOf(execution: Pick<Execution, 'task' | 'executor'>): string {
    return placeOf(this.definitionOf(execution.task), execution);
  }
  /** A forEach itself, not one of its items: it has no effect of its own. */
  isWhole(name: string): boolean {
    return this.tasks.get(name)?.forEach !== undefined;
  }
  itemsOf(name: string): readonly string[] {
    const count = this.fans.get(name);
    return count === undefined ? [] : Array.from({ length: count }, (_, i) => `${name}.${i}`);
  }
  /** Every task and item that there is. */
  names(): string[] {
    return [...this.tasks.keys()].flatMap((name) => [name, ...this.itemsOf(name)]);
  }
  /** A forEach waits for its items too, and they for what it waits for. */
  waitsFor(name: string): readonly string[] {
    const own = this.dependencies.get(name.split('.')[0]!) ?? [];
    return this.fans.has(name) ? [...own, ...this.itemsOf(name)] : own;
  }
  isOpen({ task, action, attempt, token }: Pick<TaskReport, 'task' | 'action' | 'attempt' | 'token'>): boolean {
    const given = this.entries.get(task)?.open.get(token);
    return given !== undefined && given.action === action && given.attempt === attempt && !this.end;
  }

  /** From here on a wish to cancel has come too late. */
  commit(): void {
    this.committed = true;
    this.troubles = this.troubles.filter((t) => t.task !== undefined);
  }
}
