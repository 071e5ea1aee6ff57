import {
  refText,
  type InputOf,
  type LeftThere,
  type migrationTemplatesTasks,
  type OutputOf,
  type Plan,
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

/** After so many moves that did not succeed, and one more for each ten that did, something is wrong with more than a VM. */
const MAX_FAILURES = 5;

export const failuresIn = (results: RunResults): number =>
  Object.values(results).filter((r) => r.state === 'undone' || r.state === 'failed').length;
const successesIn = (results: RunResults): number => Object.values(results).filter((r) => r.state === 'succeeded').length;

export const mayGoOn = ({ maxFailures }: RunInput, results: RunResults): boolean =>
  failuresIn(results) < (maxFailures ?? MAX_FAILURES + Math.floor(successesIn(results) / 10));

/** Of a run whose VMs are not named but found, for as long as it goes on: it has a goal, and may be begun again for what is left. */
export const isFound = ({ vmIds }: Pick<RunInput, 'vmIds'>): boolean => vmIds === undefined;

/** Characters of JSON: half of what a workflow takes for the output of one task. */
const MOST_CHARACTERS = 131_072;

/** Each VM once, in the order that they were named in. What is too much to tell is counted, and those that did not go are told first. */
export const outputOf = (input: RunInput, results: RunResults, left?: readonly LeftThere[]): RunOutput => {
  const list = (input.vmIds ? [...new Set(input.vmIds)] : Object.keys(results).sort()).flatMap((id) => results[id] ?? []);
  const told = within(list);
  const more = list.length - told.length;
  return {
    total: list.length,
    succeeded: successesIn(results),
    results: told,
    ...(more > 0 ? { more } : {}),
    ...(left ? { left: left.slice(0, 100) } : {}),
  };
};

const within = (list: readonly RunResult[]): RunResult[] => {
  if (JSON.stringify(list).length <= MOST_CHARACTERS) return [...list];
  const gone = (r: RunResult): boolean => r.state === 'succeeded' || r.state === 'unneeded';
  const told: RunResult[] = [];
  let room = MOST_CHARACTERS;
  for (const r of [...list.filter((x) => !gone(x)), ...list.filter(gone)]) {
    const short = r.blockers ? { ...r, blockers: r.blockers.slice(0, 1) } : r;
    room -= JSON.stringify(short).length;
    if (room < 0) break;
    told.push(short);
  }
  return told;
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
