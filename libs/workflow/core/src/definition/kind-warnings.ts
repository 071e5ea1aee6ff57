import { allTasks, type Coded, type TaskDefinition, type WorkflowTemplate } from '@chrysalis/contracts';

/** Who takes what: of each group its kinds, as executors have told, beside those of the contracts. */
export type Takers = ReadonlyMap<string, ReadonlySet<string>>;
export type TemplateWarning = Coded<{ readonly code: 'workflow.kind_untaken'; readonly place: string; readonly message: string }>;

/** So many are told. */
const MAX_WARNINGS = 100;
const MAX_KINDS = 60;

/** The kinds of the contracts, whether somebody who takes them is there at the moment or not, and what else executors have told. */
export const takersOf = (told: readonly { readonly group: string; readonly kind: string }[]): Takers => {
  const takers = new Map<string, Set<string>>();
  for (const { group, kind } of [...Object.values(allTasks), ...told]) takers.set(group, (takers.get(group) ?? new Set()).add(kind));
  return takers;
};

/**
 * Tasks and compensations that nobody takes: each would wait for its deadline. No faults: who takes a kind may come later than the template.
 */
export const kindWarnings = ({ tasks }: Pick<WorkflowTemplate, 'tasks'>, takers: Takers): TemplateWarning[] =>
  tasks
    .flatMap((t, i) => [
      at(`tasks[${i}].kind`, t, takers),
      ...(t.compensation ? [at(`tasks[${i}].compensation.kind`, t.compensation, takers)] : []),
    ])
    .filter((w) => w !== undefined)
    .slice(0, MAX_WARNINGS);

const at = (
  place: string,
  { kind, route: { group } }: Pick<TaskDefinition, 'kind' | 'route'>,
  takers: Takers,
): TemplateWarning | undefined => {
  const taken = takers.get(group);
  if (taken?.has(kind)) return undefined;
  const elsewhere = [...takers].filter(([, kinds]) => kinds.has(kind)).map(([other]) => other);
  const message =
    elsewhere.length > 0
      ? `nobody in the group ${group} takes ${kind}: it is for ${elsewhere.join(' or ')}`
      : `nobody in the group ${group} takes ${kind}; ${listOf(taken)}`;
  return { code: 'workflow.kind_untaken', place, message };
};

const listOf = (kinds: ReadonlySet<string> | undefined): string => {
  const sorted = [...(kinds ?? [])].sort();
  if (sorted.length === 0) return 'it takes no kinds';
  return `it takes ${sorted.slice(0, MAX_KINDS).join(', ')}${sorted.length > MAX_KINDS ? `, and ${sorted.length - MAX_KINDS} more` : ''}`;
};
