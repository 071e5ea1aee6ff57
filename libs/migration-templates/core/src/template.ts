import { accept, canonicalJson, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { type Coded, type EventOf, migrationTemplatesEvents as events, type TemplateSpec, type VmTypeSpec } from '@chrysalis/contracts';
import { templateFaults, type TemplateFault } from './template-faults.ts';

// Stream `template-<name>`: its versions never change; the same spec is the same version.

export type PublishTemplate = Readonly<{ kind: 'publish'; name: string; spec: TemplateSpec; types: ReadonlyMap<string, VmTypeSpec> }>;
export type RetireTemplate = Readonly<{ kind: 'retire'; name: string }>;
export type TemplateEvent = EventOf<typeof events.templatePublished> | EventOf<typeof events.templateRetired>;
export type TemplateState = Readonly<{ versions: readonly TemplateSpec[]; retired: boolean }>;
export type TemplateRejection = Coded<
  | { readonly code: 'template.invalid'; readonly faults: readonly TemplateFault[]; readonly message: string }
  | { readonly code: 'template.retired'; readonly name: string }
  | { readonly code: 'template.unknown'; readonly name: string }
>;

/** The version that holds this spec, 1 upwards; 0 if none does. */
export const versionOf = (state: TemplateState, spec: TemplateSpec): number => {
  const text = canonicalJson(spec);
  return state.versions.findIndex((s) => canonicalJson(s) === text) + 1;
};

export const templateDecider: Decider<
  PublishTemplate | RetireTemplate,
  TemplateState,
  TemplateEvent,
  Decision<TemplateEvent, TemplateRejection>
> = {
  initial: { versions: [], retired: false },
  decide: (command, state) => (command.kind === 'publish' ? publish(command, state) : retire(command, state)),
  evolve: (state, event) => {
    switch (event.type) {
      case events.templatePublished.type:
        return { ...state, versions: [...state.versions, event.data.spec] };
      case events.templateRetired.type:
        return { ...state, retired: true };
      default:
        return unreachable(event);
    }
  },
};

const publish = ({ name, spec, types }: PublishTemplate, state: TemplateState): Decision<TemplateEvent, TemplateRejection> => {
  if (state.retired) return reject({ code: 'template.retired', name });
  if (versionOf(state, spec) > 0) return accept();
  const faults = templateFaults(spec, (ref) => types.get(ref));
  if (faults.length > 0)
    return reject({
      code: 'template.invalid',
      faults,
      message: faults
        .map((f) => `${f.path}: ${f.message}`)
        .join('; ')
        .slice(0, 2000),
    });
  return accept({ type: events.templatePublished.type, data: { name, version: state.versions.length + 1, spec } });
};

const retire = ({ name }: RetireTemplate, state: TemplateState): Decision<TemplateEvent, TemplateRejection> => {
  if (state.versions.length === 0) return reject({ code: 'template.unknown', name });
  return state.retired ? accept() : accept({ type: events.templateRetired.type, data: { name } });
};
