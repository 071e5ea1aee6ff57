import { faultText, WorkflowDefinition, type Outcome, type TaskDispatch } from '@chrysalis/contracts';
import { failpoint, type ServiceContext } from '@chrysalis/service-kit';
import { isInstance, isOver, type WorkflowInstance } from '@chrysalis/workflow-core';
import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import type { LocalContext, LocalHandler, LocalKinds } from '../local/local.ts';
import { resolveTemplate } from '../queue/resolve.ts';
import { childIdOf } from './ids.ts';
import type { Held } from './held.ts';
import { fail, outcomeOf, undoneOutcome } from './outcome.ts';
import * as sql from './sql.ts';
import { attemptsOf, depthOf, isWanted } from './wanted.ts';

const RunInput = z
  .strictObject({
    template: z.string().max(80).optional(),
    definition: z.record(z.string(), z.unknown()).optional(),
    params: z.record(z.string(), z.unknown()).default({}),
    subject: z.string().max(127).optional(),
  })
  .refine((i) => (i.template === undefined) !== (i.definition === undefined), { message: 'either `template` or `definition`' });
/** Without an id: what the task itself began. */
const UndoInput = z.strictObject({ workflowId: z.string().max(127).nullish() });
const WaitInput = z.strictObject({ ms: z.number().int().min(0).max(86_400_000) });

/** What these kinds need of the service. */
export type Family = {
  readonly engine: Engine;
  readonly service: ServiceContext;
  readonly held: Held;
  readonly cancelUnwanted: (parentId: string, state: WorkflowInstance) => Promise<void>;
};

/** The input behind its shape: what does not fit is a final failure. */
const shaped =
  <S extends z.ZodType>(shape: S, handle: (input: z.infer<S>, context: LocalContext) => Promise<Outcome>): LocalHandler =>
  (input, context) => {
    const parsed = shape.safeParse(input);
    if (parsed.success) return handle(parsed.data, context);
    return fail('executor.input_invalid', faultText(parsed.error));
  };

/** Sub-workflows, and a durable timer. Each may run again for the same attempt, anywhere: nothing but the log is relied on. */
export const familyKinds = (f: Family): LocalKinds => ({
  'workflow.run': shaped(RunInput, (input, context) => run(f, input, context)),
  'workflow.undo': shaped(UndoInput, (input, context) => undo(f, input.workflowId ?? undefined, context)),
  'workflow.wait': shaped(WaitInput, (input, context) => wait(f, input.ms, context)),
});

const run = async (f: Family, input: z.infer<typeof RunInput>, context: LocalContext): Promise<Outcome> => {
  const { dispatch } = context;
  const { engine, service } = f;
  const childId = childIdOf(dispatch);
  const parent = await engine.load(dispatch.workflowId);
  if (!isInstance(parent.state)) throw new Error(`${dispatch.workflowId} is not there`);
  if ((await engine.load(childId)).version === 0) {
    const depth = await depthOf(parent.state, async (id) => (await engine.load(id)).state);
    if (depth === undefined) return fail('workflow.nested_too_deep', `${dispatch.workflowId} is within as many workflows as may be: 8`);
    const resolved = await definitionOf(service, input);
    if (!resolved.ok) return resolved;
    await service.pool.query(sql.note(service.schema), [childId, dispatch.workflowId, dispatch.token]);
    await failpoint('workflow:child-noted');
    const { workflowId, task, attempt, token, deadlineAt, tenant } = dispatch;
    const request = {
      workflowId: childId,
      definition: resolved.definition,
      params: input.params,
      subject: input.subject ?? parent.state.subject,
      parent: { workflowId, task, attempt, token, deadlineAt },
    };
    const { correlationId } = parent;
    const command = { type: 'start', request, tenant } as const;
    const outcome = await engine.submit({ workflowId: childId, command, actor: 'service:workflow', correlationId, tenant });
    if (!outcome.ok) return fail(outcome.rejection.code, `${childId} could not be started`);
    await failpoint('workflow:child-started');
  }
  // It may have been given up before there was a child to cancel.
  const { state } = await engine.load(dispatch.workflowId);
  if (!isWanted(state, dispatch)) await f.cancelUnwanted(dispatch.workflowId, state);
  return outcomeOf(childId, await endOf(f, childId, context));
};

type Given = z.infer<typeof RunInput>;
const definitionOf = async (
  { pool, schema }: ServiceContext,
  { template, definition }: Given,
): Promise<{ ok: true; definition: WorkflowDefinition } | (Outcome & { ok: false })> => {
  if (template !== undefined) {
    const resolved = await resolveTemplate(pool, schema, template);
    return resolved.ok ? resolved : fail(resolved.rejection.code, `${template}: ${resolved.rejection.message}`);
  }
  const parsed = WorkflowDefinition.safeParse({ version: 1, ...definition });
  if (parsed.success) return { ok: true, definition: parsed.data };
  return fail('workflow.request_invalid', faultText(parsed.error));
};

/** The end of an instance, now or when it comes. */
const endOf = async (f: Family, id: string, context: LocalContext) => {
  for (;;) {
    // Waited for before it is looked at: an end in between is heard.
    const heard = f.held.wait(context, { child: id });
    heard.catch(() => undefined);
    const { state } = await f.engine.load(id).catch((error: unknown) => {
      f.held.settled(id); // nobody waits any more; others who do look again
      throw error;
    });
    if (isOver(state) && state.status !== 'none' && state.status !== 'queued') {
      f.held.settled(id);
      await failpoint('workflow:child-ended');
      return state.end!;
    }
    await heard;
  }
};

const undo = async (f: Family, workflowId: string | undefined, context: LocalContext): Promise<Outcome> => {
  const ids = workflowId === undefined ? await ownChildren(f.engine, context.dispatch) : [workflowId];
  let last: Outcome = { ok: true, output: { state: 'none' } };
  for (const id of ids.toReversed()) {
    last = await undoOne(f, id, context);
    if (!last.ok) return last;
  }
  return last;
};

/** The children of the runs of the very task that is being undone. */
const ownChildren = async (engine: Engine, { workflowId, task }: TaskDispatch): Promise<string[]> => {
  const { state } = await engine.load(workflowId);
  const runs = attemptsOf(state, task).filter((a) => a.action === 'run');
  return runs.map(({ attempt }) => childIdOf({ workflowId, task, action: 'run', attempt }));
};

const undoOne = async (f: Family, id: string, context: LocalContext): Promise<Outcome> => {
  const { dispatch } = context;
  const entry = await f.engine.load(id);
  if (entry.version === 0) return { ok: true, output: { workflowId: id, state: 'none' } };
  if (entry.tenant !== dispatch.tenant) return fail('workflow.unknown', `there is no workflow ${id} of this tenant`);
  const reason = `${dispatch.workflowId} undoes ${dispatch.task}`;
  const about = { workflowId: id, actor: 'service:workflow', causationId: dispatch.workflowId };
  const { state } = entry;
  const succeeded = isInstance(state) && state.status === 'succeeded';
  if (succeeded || !isOver(state)) {
    const outcome = await f.engine.submit({ ...about, command: { type: succeeded ? 'undo' : 'cancel', reason } });
    const fatal = !outcome.ok && outcome.rejection.code === 'workflow.past_point_of_no_return';
    if (fatal) return fail(outcome.rejection.code, `${id} is past its point of no return: nothing of it is undone any more`);
    await failpoint('workflow:child-undoing');
  }
  const end = await endOf(f, id, context);
  // It succeeded while it was asked to stop.
  return end.state === 'succeeded' ? undoOne(f, id, context) : undoneOutcome(id, end);
};

/** Counted from the dispatch in the log: who begins it again waits for what is left. */
const wait = async (f: Family, ms: number, context: LocalContext): Promise<Outcome> => {
  const { at } = context.dispatch as TaskDispatch & { readonly at?: string };
  const now = Date.parse(context.now());
  const left = Date.parse(at ?? context.now()) + ms - now;
  if (left > 0) {
    const waited = f.held.wait(context, { ms: left });
    waited.catch(() => undefined);
    const { state } = await f.engine.load(context.dispatch.workflowId);
    if (!isWanted(state, context.dispatch)) f.held.interrupt(context.dispatch.workflowId, new Set(), 'the workflow is not going on');
    await waited;
  }
  return { ok: true, output: { ms } };
};
