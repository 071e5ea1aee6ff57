import {
  faultsIn,
  NO_SUCH_MEMBER,
  Ref,
  refText,
  TemplateOptions,
  TemplateSpec,
  TemplateStep,
  type Code,
  type VmTypeSpec,
} from '@chrysalis/contracts';
import { droppedMembers } from '@chrysalis/kernel';
import { middleParts, placeFaults, templateFaults, templateSections, type Placed, type TemplateFault } from './template-faults.ts';

export type Judgement = Readonly<{ spec: TemplateSpec | undefined; findings: readonly TemplateFault[] }>;

/** The types that a spec names, as far as it can be read: they are looked up before it is judged. */
export const typesNamed = (value: unknown): Ref[] => {
  const { sourceType, options } = membersOf(value);
  return [sourceType, membersOf(options)['targetType']].flatMap((x) => Ref.safeParse(x).data ?? []);
};

/**
 * All that is wrong with what may be a spec, each finding at its place. Where its outline is not one, the steps that can be read are
 * judged by themselves: what they lead to nobody can say then. No finding: publishing it is not refused.
 */
export const judgeTemplate = (value: unknown, types: (ref: string) => VmTypeSpec | undefined): Judgement => {
  const parsed = TemplateSpec.safeParse(value);
  if (parsed.success) {
    const unknown = unknownMembers(value, parsed.data, '');
    const findings = [...unknown, ...templateFaults(parsed.data, types)];
    return { spec: unknown.length === 0 ? parsed.data : undefined, findings };
  }
  const members = faultsIn(parsed.error, '(spec)').map((f) => finding(f.path, 'template.member_invalid', f.message));
  return { spec: undefined, findings: [...members, ...partly(value, types)] };
};

const partly = (value: unknown, types: (ref: string) => VmTypeSpec | undefined): TemplateFault[] => {
  const findings: TemplateFault[] = [];
  for (const ref of typesNamed(value))
    if (!types(refText(ref))) findings.push(finding(placeOf(value, ref), 'vm-type.unknown', `there is no type ${refText(ref)}`));
  const { options } = membersOf(value);
  const read = TemplateOptions.safeParse(options);
  if (read.success) findings.push(...unknownMembers(options, read.data, 'options.'));
  const steps = [...templateSections, ...middleParts].flatMap((section) => {
    const [first, second] = section.split('.') as [string, string?];
    const member = membersOf(value)[first];
    const list = second === undefined ? member : membersOf(member)[second];
    if (!Array.isArray(list)) return [];
    return list.slice(0, MOST).flatMap((given: unknown, i): Placed[] => {
      const path = `${section}.${i}`;
      const step = TemplateStep.safeParse(given);
      if (!step.success) return [];
      findings.push(...unknownMembers(given, step.data, `${path}.`));
      return [{ path, section, step: step.data }];
    });
  });
  placeFaults(steps, (path, code, message) => findings.push(finding(path, code, message)));
  return findings;
};
/** More steps than a section may have are told of once; not each of them by itself. */
const MOST = 64;

const placeOf = (value: unknown, ref: Ref): string => {
  const source = Ref.safeParse(membersOf(value)['sourceType']);
  return source.success && refText(source.data) === refText(ref) ? 'sourceType' : 'options.targetType';
};

const finding = (path: string, code: Code, message: string): TemplateFault => ({ path, code, message });
const unknownMembers = (given: unknown, kept: unknown, place: string): TemplateFault[] =>
  droppedMembers(given, kept, place).map((path) => finding(path, 'template.member_unknown', NO_SUCH_MEMBER));
const membersOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
