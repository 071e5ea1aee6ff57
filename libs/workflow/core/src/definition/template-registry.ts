import { type Coded, type WorkflowTemplate, type WorkflowTemplateEvent, workflowTemplateEvents as events } from '@chrysalis/contracts';
import { accept, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';

// Stream `workflow-template-<name>`: its versions never change; the same content is the same version.

/** `template` has been judged (`judgeTemplate`); `digest` is of its canonical text, `sha256:…`. */
export type PublishTemplate = { readonly type: 'publish'; readonly template: WorkflowTemplate; readonly digest: string };
export type RetireTemplate = { readonly type: 'retire'; readonly name: string };
/** The digests of the versions, the first one's first. */
export type TemplateState = { readonly digests: readonly string[]; readonly retired: boolean };
export type TemplateRejection = Coded<{ readonly code: 'workflow.template_retired' | 'workflow.template_unknown'; readonly name: string }>;

type Answer = Decision<WorkflowTemplateEvent, TemplateRejection>;

/** The version with this content, 1 upwards; 0 if there is none. */
export const templateVersion = (state: TemplateState, digest: string): number => state.digests.indexOf(digest) + 1;

export const templateRegistry: Decider<PublishTemplate | RetireTemplate, TemplateState, WorkflowTemplateEvent, Answer> = {
  initial: { digests: [], retired: false },
  decide: (command, state) => (command.type === 'publish' ? publish(command, state) : retire(command, state)),
  evolve: (state, event) => {
    switch (event.type) {
      case events.templatePublished.type:
        return { ...state, digests: [...state.digests, event.data.digest] };
      case events.templateRetired.type:
        return { ...state, retired: true };
      default:
        return unreachable(event);
    }
  },
};

const publish = ({ template, digest }: PublishTemplate, state: TemplateState): Answer => {
  const { name } = template;
  if (state.retired) return reject({ code: 'workflow.template_retired', name });
  if (templateVersion(state, digest) > 0) return accept();
  const version = state.digests.length + 1;
  return accept({ type: events.templatePublished.type, data: { name, version, digest, definition: { ...template, version } } });
};

const retire = ({ name }: RetireTemplate, state: TemplateState): Answer => {
  if (state.digests.length === 0) return reject({ code: 'workflow.template_unknown', name });
  return state.retired ? accept() : accept({ type: events.templateRetired.type, data: { name } });
};
