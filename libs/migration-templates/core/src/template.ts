import { accept, canonicalJson, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { type Coded, type EventOf, migrationTemplatesEvents as events, type TemplateSpec, type VmTypeSpec } from '@chrysalis/contracts';
import { templateFaults, type TemplateFault } from './template-faults.ts';

// Stream `template-<name>`: its versions never change; the same spec is the same version.

type Publish = Readonly<{ name: string; spec: TemplateSpec; types: ReadonlyMap<string, VmTypeSpec> }>;
export type PublishTemplate = Publish & Readonly<{ kind: 'publish' }>;
/** As publish, but of one that is there, and the spec is its newest afterwards, also where an older version had it. */
export type UpdateTemplate = Publish & Readonly<{ kind: 'update'; /** Only where this is its newest one. */ from?: number | undefined }>;
export type RetireTemplate = Readonly<{ kind: 'retire'; name: string }>;
/** `usedBy`: migrations, and workflows that begin some, that go by it and have not ended. */
export type DeleteTemplate = Readonly<{ kind: 'delete'; name: string; usedBy: readonly string[] }>;
export type TemplateCommand = PublishTemplate | UpdateTemplate | RetireTemplate | DeleteTemplate;
export type TemplateEvent = EventOf<typeof events.templatePublished | typeof events.templateRetired | typeof events.templateDeleted>;
/** Of versions that were deleted only the numbers are left: a version never means another spec. */
export type TemplateState = Readonly<{ versions: readonly (TemplateSpec | undefined)[]; retired: boolean }>;
export type TemplateRejection = Coded<
  | { readonly code: 'template.invalid'; readonly faults: readonly TemplateFault[]; readonly message: string }
  | { readonly code: 'template.retired'; readonly name: string }
  | { readonly code: 'template.unknown'; readonly name: string }
  | { readonly code: 'template.version_outdated'; readonly name: string; readonly from: number; readonly newest: number }
  | { readonly code: 'template.in_use'; readonly name: string; readonly usedBy: readonly string[] }
>;

/** The newest version that holds this spec, 1 upwards; 0 if none does. */
export const versionOf = (state: TemplateState, spec: TemplateSpec): number => {
  const text = canonicalJson(spec);
  return state.versions.findLastIndex((s) => s !== undefined && canonicalJson(s) === text) + 1;
};

export const templateDecider: Decider<TemplateCommand, TemplateState, TemplateEvent, Decision<TemplateEvent, TemplateRejection>> = {
  initial: { versions: [], retired: false },
  decide: (command, state) => {
    switch (command.kind) {
      case 'publish':
        return publish(command, state);
      case 'update':
        return update(command, state);
      case 'retire':
        return retire(command, state);
      case 'delete':
        return remove(command, state);
      default:
        return unreachable(command);
    }
  },
  evolve: (state, event) => {
    switch (event.type) {
      case events.templatePublished.type:
        return { ...state, versions: [...state.versions, event.data.spec] };
      case events.templateRetired.type:
        return { ...state, retired: true };
      case events.templateDeleted.type:
        return { versions: state.versions.map(() => undefined), retired: false };
      default:
        return unreachable(event);
    }
  },
};

const isThere = ({ versions }: TemplateState): boolean => versions.at(-1) !== undefined;

const update = (command: UpdateTemplate, state: TemplateState): Decision<TemplateEvent, TemplateRejection> => {
  const { name, from, spec } = command;
  if (!isThere(state)) return reject({ code: 'template.unknown', name });
  const newest = state.versions.length;
  if (from !== undefined && from !== newest && versionOf(state, spec) !== newest)
    return reject({ code: 'template.version_outdated', name, from, newest });
  return publish(command, state);
};

const publish = (
  { kind, name, spec, types }: PublishTemplate | UpdateTemplate,
  state: TemplateState,
): Decision<TemplateEvent, TemplateRejection> => {
  if (state.retired) return reject({ code: 'template.retired', name });
  const same = versionOf(state, spec);
  if (kind === 'update' ? same === state.versions.length : same > 0) return accept();
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
  if (!isThere(state)) return reject({ code: 'template.unknown', name });
  return state.retired ? accept() : accept({ type: events.templateRetired.type, data: { name } });
};

const remove = ({ name, usedBy }: DeleteTemplate, state: TemplateState): Decision<TemplateEvent, TemplateRejection> => {
  if (!isThere(state)) return reject({ code: 'template.unknown', name });
  if (usedBy.length > 0) return reject({ code: 'template.in_use', name, usedBy });
  return accept({ type: events.templateDeleted.type, data: { name } });
};
