import {
  type Code,
  type InputOf,
  type migrationTemplatesTasks,
  type OutputOf,
  type Plan,
  refText,
  type RunResult,
  type TemplateSpec,
} from '@chrysalis/contracts';
import { templateFromOption } from './from-option.ts';
import { bounded, madeStem } from './made-names.ts';
import type { KnownType, KnownVm } from './known.ts';
import type { MigrationState } from './migration.ts';

// A run: one task that moves a set of VMs. A migration takes VMs of one tenant and one type, so a run is one migration after another.

export type RunInput = InputOf<(typeof migrationTemplatesTasks)['run']>;
export type RunOutput = OutputOf<(typeof migrationTemplatesTasks)['run']>;
export type RunResults = Readonly<Record<string, RunResult>>;

/** After so many moves that did not succeed something is wrong with more than a VM. */
const MAX_FAILURES = 5;

/** VMs that nothing has become of yet, in the order they were named in. */
export const leftOf = (input: RunInput, results: RunResults): readonly string[] =>
  [...new Set(input.vmIds)].filter((id) => !Object.hasOwn(results, id));

export const failuresIn = (results: RunResults): number =>
  Object.values(results).filter((r) => r.state === 'undone' || r.state === 'failed').length;

export const mayGoOn = (input: RunInput, results: RunResults): boolean => failuresIn(results) < (input.maxFailures ?? MAX_FAILURES);

/** Every VM that is left is not begun, for this reason. */
export const stopped = (input: RunInput, results: RunResults, code: Code, message: string): RunResults => ({
  ...results,
  ...Object.fromEntries(leftOf(input, results).map((vmId) => [vmId, { vmId, state: 'not-begun' as const, cause: { code, message } }])),
});

export const outputOf = (input: RunInput, results: RunResults): RunOutput => {
  const list = [...new Set(input.vmIds)].map((id) => results[id]!);
  return { total: list.length, succeeded: list.filter((r) => r.state === 'succeeded').length, results: list };
};

/** Is there nothing to be done for this VM? It has the type that the template leads to; or, where that is no other, it left the host that is drained. */
export const unneeded = (input: RunInput, vm: KnownVm, { sourceType, options }: Pick<TemplateSpec, 'sourceType' | 'options'>): boolean =>
  refText(sourceType) === refText(options.targetType)
    ? input.notHost !== undefined && vm.hostId !== input.notHost
    : refText(vm.type) === refText(options.targetType);

/**
 * The template for VMs of a type where none is named: `relocate-…` moves them as they are, `become-…` makes them of another type. The
 * same types give the same name and the same content, hence the same version.
 */
export const madeTemplate = (from: KnownType, to: KnownType, move: boolean): { name: string; spec: TemplateSpec } => {
  const same = refText(from.ref) === refText(to.ref);
  const option = {
    targetType: to.ref,
    move: same || move,
    method: 'pre-copy',
    newResources: 'expose',
    augmentation: [] as string[],
  } as const;
  return {
    name: bounded(`${madeStem(from.ref, to.ref)}${!same && move ? '-moved' : ''}`),
    spec: templateFromOption(option, from.ref, from.spec, to.spec),
  };
};

/** The VMs of a plan that can go, with what they were planned from; and the others, each with every blocker. */
export const parted = (plan: Plan): { ready: Plan | undefined; blocked: RunResults } => {
  const moves = plan.moves.filter((m) => m.blockers.length === 0);
  const going = new Set(moves.map((m) => m.vmId));
  const vmVersions = Object.fromEntries(Object.entries(plan.basis.vmVersions).filter(([id]) => going.has(id)));
  const blocked = plan.moves
    .filter((m) => !going.has(m.vmId))
    .map(({ vmId, blockers }): [string, RunResult] => [vmId, { vmId, state: 'blocked', blockers: blockers.slice(0, 20) }]);
  return {
    ready: moves.length > 0 ? { ...plan, moves, basis: { ...plan.basis, vmVersions } } : undefined,
    blocked: Object.fromEntries(blocked),
  };
};

/** What became of the VMs whose move has ended; those that the migration did not begin stay open. */
export const resultsOf = (migration: MigrationState): RunResults => {
  if (migration.status === 'none') return {};
  const { migrationId, plan, moves } = migration;
  return Object.fromEntries(
    moves.flatMap(({ vmId, state, cause }) => {
      if (state === 'running') return [];
      const toHost = plan.moves.find((m) => m.vmId === vmId)?.toHost;
      const where = state === 'undone' || toHost === undefined ? {} : { toHost };
      return [[vmId, { vmId, state, migrationId, ...where, ...(cause ? { cause } : {}) }]];
    }),
  );
};
