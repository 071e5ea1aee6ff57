import type { WorkflowTemplate } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { kindWarnings, takersOf, type TemplateWarning } from '@chrysalis/workflow-core';
import type { Engine } from '../engine/engine.ts';
import { kindsTold } from '../executors/sql.ts';

export type Warned = { readonly warnings?: readonly TemplateWarning[] };

/** Part of an answer: tasks of a kind that nobody takes, by what executors have told so far. */
export const warnedOf = async (
  template: Pick<WorkflowTemplate, 'tasks'>,
  engine: Engine,
  db: Queryable,
  schema: string,
): Promise<Warned> => {
  const own = engine.local.kinds.map((kind) => ({ group: 'workflow', kind }));
  const warnings = kindWarnings(template, takersOf([...own, ...(await kindsTold(db, schema))]));
  return warnings.length > 0 ? { warnings } : {};
};
