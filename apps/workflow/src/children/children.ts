import { reportOf } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { isInstance, type End, type Instance, type WorkflowInstance } from '@chrysalis/workflow-core';
import type { Engine } from '../engine/engine.ts';
import type { LocalKinds } from '../local/local.ts';
import { Held } from './held.ts';
import { familyKinds } from './kinds.ts';
import { outcomeOf } from './outcome.ts';
import * as sql from './sql.ts';
import { executionOf, wantedTokens } from './wanted.ts';

const POLL_MS = 1_000;
const CHECKED = 200;
/** After these a parent may not want its children any more. */
const turns = new Set<string>([
  'chrysalis.workflow.compensation.started.v1',
  'chrysalis.workflow.cancel.requested.v1',
  'chrysalis.workflow.instance.changed.v1',
  'chrysalis.workflow.instance.ended.v1',
]);

/**
 * Sub-workflows and their parents. A child's end is its parent's report: at once after the commit, wherever that was made. What a killed
 * instance left is found again: an execution without anybody by the parent's own timer (see plan.ts), a child that nobody wants by its row.
 */
export class Children {
  readonly kinds: LocalKinds;
  readonly #held = new Held();
  readonly #gone: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    private readonly service: ServiceContext,
    private readonly engine: Engine,
  ) {
    const cancelUnwanted = (id: string, state: WorkflowInstance): Promise<void> => this.#cancelUnwanted(id, state);
    this.kinds = familyKinds({ engine, service, held: this.#held, cancelUnwanted });
    engine.after.on('committed', (id, state, events) => this.#committed(id, state, events));
  }

  start(): void {
    this.#timer = setTimeout(() => void (this.#round = this.#again()), POLL_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #committed(workflowId: string, state: WorkflowInstance, events: readonly { readonly type: string }[]): void {
    if (!events.some((e) => turns.has(e.type))) return;
    if ('end' in state && state.end) this.#ended(workflowId, state, state.end);
    if (!isInstance(state)) return;
    this.#held.interrupt(workflowId, wantedTokens(state), 'the workflow is not going on');
    if (hasChildren(state)) this.#logged(this.#cancelUnwanted(workflowId, state), workflowId);
  }

  #ended(workflowId: string, state: WorkflowInstance, end: End): void {
    const parent = isInstance(state) ? state.parent : undefined;
    if (parent) this.#gone.push(workflowId);
    if (this.#held.settled(workflowId) || !parent) return;
    this.#logged(this.#report(workflowId, parent, end), workflowId); // nobody here waits for it
  }

  /** In the words of whoever would have waited. Refused where that one was faster. */
  async #report(childId: string, parent: NonNullable<Instance['parent']>, end: End): Promise<void> {
    const { state } = await this.engine.load(parent.workflowId);
    const execution = isInstance(state) ? executionOf(state, parent.token) : undefined;
    if (!execution || execution.given.settled) return;
    const { task, given } = execution;
    const { workflowId } = parent;
    const report = reportOf({ ...given, workflowId, task }, outcomeOf(childId, end), given.dispatchedAt, end.at);
    await this.engine.submit({ workflowId, command: { type: 'report', report }, actor: 'service:workflow', causationId: childId });
  }

  /** Children whose execution the parent does not wait for. A parent that was let go of as it is lets go of them so, too. */
  async #cancelUnwanted(parentId: string, state: WorkflowInstance): Promise<void> {
    const { rows } = await this.service.pool.query<sql.ChildRow>(sql.childrenOf(this.service.schema), [[parentId]]);
    const wanted = wantedTokens(state);
    await Promise.all(rows.filter((r) => !wanted.has(r.token)).map((r) => this.#cancel(r.workflowId, state)));
  }

  async #cancel(workflowId: string, parent: WorkflowInstance): Promise<void> {
    const compensate = !(isInstance(parent) && parent.end && parent.status !== 'undone');
    const command = { type: 'cancel', reason: 'its parent does not wait for it any more', compensate } as const;
    const outcome = await this.engine.submit({ workflowId, command, actor: 'service:workflow' });
    if (!outcome.ok && outcome.rejection.code === 'workflow.ended') this.#gone.push(workflowId);
  }

  async #again(): Promise<void> {
    await this.#look().catch((err: unknown) => this.service.log.warn({ err }, 'sub-workflows could not be looked after'));
    if (!this.#stopped) this.start();
  }

  async #look(): Promise<void> {
    const { pool, schema } = this.service;
    if (this.#gone.length > 0) await pool.query(sql.forget(schema), [this.#gone.splice(0)]);
    const [children, parents] = [this.#held.children, this.#held.parents];
    if (parents.length > 0) {
      const { rows } = await pool.query<{ id: string; child: boolean }>(sql.settled(schema), [children, parents]);
      for (const { id, child } of rows) if (child) this.#held.settled(id);
      for (const { id, child } of rows) if (!child) await this.#parentTurned(id);
    }
    const { rows } = await pool.query<sql.CheckedRow>(sql.check(schema), [CHECKED]);
    for (const [parentId, of] of Map.groupBy(rows, (r) => r.parentId)) await this.#check(parentId, of);
  }

  async #parentTurned(id: string): Promise<void> {
    const { state } = await this.engine.load(id);
    this.#held.interrupt(id, wantedTokens(state), 'the workflow is not going on');
    await this.#cancelUnwanted(id, state);
  }

  async #check(parentId: string, rows: readonly sql.CheckedRow[]): Promise<void> {
    for (const { workflowId, ended } of rows) if (ended) this.#gone.push(workflowId);
    const open = rows.filter((r) => !r.ended);
    if (open.length === 0) return;
    const { state } = await this.engine.load(parentId);
    const wanted = wantedTokens(state);
    for (const { workflowId, token, old } of open) {
      if (wanted.has(token)) continue;
      if (old) this.#gone.push(workflowId);
      await this.#cancel(workflowId, state);
    }
  }

  #logged(work: Promise<void>, workflowId: string): void {
    void work.catch((err: unknown) => this.service.log.warn({ err, workflowId }, 'a sub-workflow could not be settled; it will be again'));
  }
}

const known = new WeakMap<Instance['graph'], boolean>();
const hasChildren = ({ graph }: Instance): boolean => {
  const seen = known.get(graph);
  if (seen !== undefined) return seen;
  const has = graph.nodes.some(
    ({ definition: { kind, compensation } }) => kind === 'workflow.run' || compensation?.kind === 'workflow.run',
  );
  known.set(graph, has);
  return has;
};
