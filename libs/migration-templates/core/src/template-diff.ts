import type { TemplateSpec, TemplateStep } from '@chrysalis/contracts';
import { canonicalJson } from '@chrysalis/kernel';
import { partsOf, type TemplatePart } from './template-faults.ts';

export type StepChange = Readonly<{
  section: TemplatePart;
  name: string;
  change: 'added' | 'removed' | 'changed' | 'reordered';
  from?: TemplateStep;
  to?: TemplateStep;
}>;
export type OptionChange = Readonly<{ path: string; from?: unknown; to?: unknown }>;
export type TemplateDifference = Readonly<{ options: readonly OptionChange[]; steps: readonly StepChange[] }>;

/**
 * What leads from one spec to the other. Steps are told apart by section and name: one that changes its section is removed here and added
 * there. Those that both have, in another order among themselves, are reordered.
 */
export const diffTemplates = (from: TemplateSpec, to: TemplateSpec): TemplateDifference => ({
  options: [
    ...members({ sourceType: from.sourceType }, { sourceType: to.sourceType }, ''),
    ...members(from.options, to.options, 'options.'),
    ...members({ withinMs: from.midMigration?.withinMs }, { withinMs: to.midMigration?.withinMs }, 'midMigration.'),
  ],
  steps: partsOf(from).flatMap(([part, list], i) => sectionChanges(part, list, partsOf(to)[i]![1])),
});

const same = (a: unknown, b: unknown): boolean => canonicalJson(a) === canonicalJson(b);

const members = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>, place: string): OptionChange[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .filter((k) => !same(a[k] ?? null, b[k] ?? null))
    .map((k) => ({ path: `${place}${k}`, from: a[k], to: b[k] }));

const sectionChanges = (section: TemplatePart, from: readonly TemplateStep[], to: readonly TemplateStep[]): StepChange[] => {
  const [before, after] = [from, to].map((list) => new Map(list.map((s) => [s.name, s]))) as [
    Map<string, TemplateStep>,
    Map<string, TemplateStep>,
  ];
  const kept = (list: readonly TemplateStep[], other: ReadonlyMap<string, TemplateStep>): string[] =>
    list.map((s) => s.name).filter((n) => other.has(n));
  const places = new Map(kept(to, before).map((name, i) => [name, i]));
  const moved = new Set(kept(from, after).filter((name, i) => places.get(name) !== i));
  return [
    ...from.filter((s) => !after.has(s.name)).map((s) => ({ section, name: s.name, change: 'removed' as const, from: s })),
    ...to.flatMap((s): StepChange[] => {
      const was = before.get(s.name);
      if (!was) return [{ section, name: s.name, change: 'added', to: s }];
      if (!same(was, s)) return [{ section, name: s.name, change: 'changed', from: was, to: s }];
      return moved.has(s.name) ? [{ section, name: s.name, change: 'reordered' }] : [];
    }),
  ];
};
