import type { Route, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import type { Condition } from './condition.ts';
import type { Template } from './references.ts';

/** What stands at an index: a task of the definition, or an item of an expanded `forEach`, which may have been given a route of its own. */
export type Slot =
  { readonly name: string } | { readonly name: string; readonly of: string; readonly position: number; readonly route?: Route };

/** A definition made ready to run: names are indices, references and conditions are parsed, edges are known both ways. */
export type Graph = {
  readonly definition: WorkflowDefinition;
  readonly slots: readonly Slot[];
  readonly index: ReadonlyMap<string, number>;
  readonly nodes: readonly GraphNode[];
  /** Every node after all it depends on. */
  readonly order: readonly number[];
  readonly output: Template | undefined;
};
/** `perExecutor`: it names `${executor}`, so it is for each executor that may have had the effect. */
export type Undo = { readonly input: Template; readonly executor: Template; readonly perExecutor: boolean };
export type Parsed = {
  readonly definition: TaskDefinition;
  readonly input: Template;
  readonly executor: Template;
  /** Of a bid: whom the rule prefers, and what the executor must bear. */
  readonly near: Template | undefined;
  readonly labels: Template;
  /** Of a `forEach`. */
  readonly items: Template | undefined;
  readonly condition: Condition | undefined;
  readonly compensation: Undo | undefined;
};
export type GraphNode = Parsed & {
  readonly index: number;
  readonly dependsOn: readonly number[];
  readonly dependants: readonly number[];
  /** Of an item: its `forEach`, and which it is. The `forEach` depends on its items, and they on what it depends on. */
  readonly item: { readonly of: number; readonly position: number } | undefined;
};
