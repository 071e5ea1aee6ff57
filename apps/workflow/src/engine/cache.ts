import type { WorkflowInstance } from '@chrysalis/workflow-core';

/** An instance as of a version, with what its next events need. `wakeAt`: its row in `timers` in milliseconds, where that is known. */
export type Entry = {
  readonly version: number;
  readonly state: WorkflowInstance;
  readonly correlationId: string;
  readonly tenant: string;
  readonly wakeAt?: number;
  /** The keys under which operators asked for what has been done: asked again it is not done again. */
  readonly requestKeys?: readonly string[];
};

/** The instances used last, bounded by how many events they are made of: an instance of 10,000 events is not read again per report. */
export class InstanceCache {
  readonly #entries = new Map<string, Entry>();
  #weight = 0;

  constructor(private readonly maxEvents = 500_000) {}

  get(workflowId: string): Entry | undefined {
    const entry = this.#entries.get(workflowId);
    if (entry) {
      this.#entries.delete(workflowId); // the order of the map is the order of use
      this.#entries.set(workflowId, entry);
    }
    return entry;
  }

  put(workflowId: string, entry: Entry): void {
    this.drop(workflowId);
    this.#entries.set(workflowId, entry);
    this.#weight += weightOf(entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.maxEvents || this.#entries.size === 1) return;
      this.drop(oldest);
    }
  }

  drop(workflowId: string): void {
    const entry = this.#entries.get(workflowId);
    if (!entry) return;
    this.#weight -= weightOf(entry);
    this.#entries.delete(workflowId);
  }

  get size(): number {
    return this.#entries.size;
  }
}

const weightOf = (entry: Entry): number => entry.version + 10;
