import { DEFAULT_PRIORITY, isReservedWorkflowId, type WorkflowDefinition } from '@chrysalis/contracts';
import type { EventMeta, Queryable } from '@chrysalis/event-store';
import type { ServiceContext } from '@chrysalis/service-kit';
import { invalid, refusalOf, resolveTemplate, type RequestRejection, type Resolved } from './resolve.ts';
import { enqueue, isTaken, notify, type QueueEntry } from './sql.ts';

/** A workflow that somebody asks for: of a template (`name@3`, or `name` for the newest), or of a definition of its own. */
export type Submission = {
  readonly workflowId: string;
  readonly params: Record<string, unknown>;
  readonly subject: string;
  readonly tenant: string;
  /** 0 (last) to 9 (first), 5 unless told; what is above counts as 9. */
  readonly priority?: number | undefined;
  /** What the sender calls the request; shown with it in the queue. */
  readonly key?: string | undefined;
  /** Of the events that follow; the service itself unless told. */
  readonly meta?: Partial<Pick<EventMeta, 'actor' | 'correlationId' | 'causationId' | 'traceparent'>>;
} & ({ readonly template: string } | { readonly definition: WorkflowDefinition });

export type Submitted = { readonly ok: true; readonly workflowId: string } | { readonly ok: false; readonly rejection: RequestRejection };

/**
 * Takes a request, for other parts of this service. With a transaction it is taken if, and when, that commits; with the pool at once.
 * Then some instance starts it, as soon as the limits allow. Idempotent by the workflow's id: what was taken before is taken, whatever
 * has become of its template.
 */
export const submitRequest = async (service: ServiceContext, db: Queryable, submission: Submission): Promise<Submitted> => {
  const { schema } = service;
  const { workflowId, params } = submission;
  if (await isTaken(db, schema, workflowId)) return { ok: true, workflowId };
  if (isReservedWorkflowId(workflowId))
    return { ok: false, rejection: invalid([{ code: 'workflow.shape_invalid', place: 'workflowId', message: 'a reserved id' }]) };
  const inline = 'definition' in submission;
  const resolved: Resolved = inline
    ? { ok: true, definition: submission.definition }
    : await resolveTemplate(db, schema, submission.template);
  if (!resolved.ok) return resolved;
  const rejection = refusalOf(resolved.definition, params, inline);
  if (rejection) return { ok: false, rejection };
  await enqueue(db, schema, entryOf(submission, resolved.definition, inline, service.clock()));
  await notify(db, schema);
  return { ok: true, workflowId };
};

export const entryOf = (s: Submission, definition: WorkflowDefinition, inline: boolean, at: string): QueueEntry => ({
  workflowId: s.workflowId,
  tenant: s.tenant,
  name: definition.name,
  version: definition.version,
  summary: definition.summary,
  tasks: definition.tasks.length,
  subject: s.subject,
  priority: Math.min(9, Math.max(0, Math.trunc(s.priority ?? DEFAULT_PRIORITY))),
  key: s.key ?? null,
  definition: inline ? definition : null,
  params: s.params,
  meta: { correlationId: s.workflowId, actor: 'service:workflow', ...s.meta, at, tenant: s.tenant },
});
