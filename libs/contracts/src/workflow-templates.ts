import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { Name, parseRef, Positive, Sha256, type Ref } from './shapes.ts';
import { WorkflowDefinition } from './workflow-definition.ts';

/** What people write: a definition without its version, which the registry gives. */
export const WorkflowTemplate = WorkflowDefinition.omit({ version: true });
export type WorkflowTemplate = z.infer<typeof WorkflowTemplate>;

/** Stream: `workflow-template-<name>`. `digest` is of the canonical JSON of the definition without its version: what tells one content from another. */
export const workflowTemplateEvents = {
  templatePublished: event(
    'chrysalis.workflow.template.published.v1',
    'A version of a workflow template; it never changes',
    z.object({ name: Name, version: Positive, digest: Sha256, definition: WorkflowDefinition }),
  ),
  templateRetired: event(
    'chrysalis.workflow.template.retired.v1',
    'No new starts by this name; what runs goes on',
    z.object({ name: Name }),
  ),
} as const;
export type WorkflowTemplateEvent = EventsOf<typeof workflowTemplateEvents>;

/** `name@3` or `name`, which means the newest; `undefined` for anything else. */
export const parseTemplateRef = (text: string): Ref | { readonly name: string; readonly version?: never } | undefined =>
  Name.safeParse(text).success ? { name: text } : parseRef(text);

/** An id with which `workflow-<id>` would be another kind of stream. */
export const isReservedWorkflowId = (id: string): boolean => /^(template-|policy-|limits$)/.test(id);

type Schema = { type?: unknown; properties?: unknown; additionalProperties?: unknown };

/** The JSON Schema (2020-12) of a template, made from the shape that the registry itself checks: the two cannot differ. */
export const workflowTemplateSchema = (): Record<string, unknown> => ({
  ...z.toJSONSchema(WorkflowTemplate, {
    target: 'draft-2020-12',
    io: 'input',
    override: ({ jsonSchema }) => {
      const schema = jsonSchema as Schema;
      // The registry refuses members that it does not know: a misspelt `dependsOn` must not be dropped in silence.
      if (schema.type === 'object' && schema.properties && schema.additionalProperties === undefined) schema.additionalProperties = false;
    },
  }),
  $id: 'https://chrysalis.invalid/schemas/workflow-template.json',
  title: 'A workflow template of Chrysalis',
  description:
    'Tasks, in the order that their data flow and `after` give. Inputs hold references: `${params.x}`, `${tasks.name.output.y}`. Beyond this shape ' +
    'the registry checks what a schema cannot: references, cycles, conditions; `POST /v1/workflow-templates/validate` says all of it at once.',
});
