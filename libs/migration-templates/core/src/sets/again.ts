// What is left of a set that has ended, and what it would take to have it back as it was.
import { refText, type PlannedMove, type TemplateSpec } from '@chrysalis/contracts';
import { canonicalJson } from '@chrysalis/kernel';
import { templateFromOption } from '../from-option.ts';
import type { KnownType, KnownVm } from '../known.ts';
import type { MigrationState } from '../migration.ts';
import { contentName } from '../made-names.ts';
import { madeTemplate } from '../run.ts';

type Ended = Exclude<MigrationState, { status: 'none' }>;

/** Those that are not where they were to be, in the plan's order: their moves did not succeed, or never began. */
export const leftOf = ({ plan, moves }: Ended): readonly string[] => {
  const done = new Set(moves.filter((m) => m.state === 'succeeded').map((m) => m.vmId));
  return plan.moves.map((m) => m.vmId).filter((id) => !done.has(id));
};

/** Those that it has moved, the last one first, each with the host that it came from. */
export const movedBy = ({ plan, moves }: Ended): ReadonlyMap<string, string> => {
  const from = new Map(plan.moves.map((m) => [m.vmId, m.fromHost]));
  const done = moves.filter((m) => m.state === 'succeeded').map((m) => m.vmId);
  return new Map(done.reverse().flatMap((id) => (from.has(id) ? [[id, from.get(id)!] as const] : [])));
};

type Where = Pick<KnownVm, 'type' | 'hostId'>;
/** It has not been moved since by anything that makes this one's move needless: a retry, or whatever else led there. */
const isAsBefore = (move: PlannedMove, now: Where): boolean =>
  refText(now.type) === refText(move.fromType) && (refText(move.fromType) !== refText(move.toType) || now.hostId === move.fromHost);
/** It is what this one made of it, and not at home already. */
const isAsLeft = (move: PlannedMove, now: Where): boolean =>
  refText(now.type) === refText(move.toType) && (move.fromHost === move.toHost || now.hostId !== move.fromHost);

/** Those for whom it is done already: by an earlier retry or undo, or by whoever changed them since. What is not known here is not judged. */
export const doneSince = (
  { plan }: Pick<Ended, 'plan'>,
  as: 'retry' | 'undo',
  vmIds: readonly string[],
  now: ReadonlyMap<string, Partial<Where>>,
): string[] => {
  const moves = new Map(plan.moves.map((m) => [m.vmId, m]));
  return vmIds.filter((id) => {
    const [move, { type, hostId } = {}] = [moves.get(id), now.get(id)];
    if (!move || type === undefined || hostId === undefined) return false;
    return as === 'retry' ? !isAsBefore(move, { type, hostId }) : !isAsLeft(move, { type, hostId });
  });
};

/**
 * By which those VMs are of the type that they were, by the method and at the pace by which they went: what its types say, without what an
 * author added to the template that it undoes.
 */
export const inverseOf = (spec: TemplateSpec, source: KnownType, target: KnownType): { name: string; spec: TemplateSpec } => {
  const move = spec.migration.length > 0;
  const usual = madeTemplate(target, source, move);
  const { targetType: _, newResources: __, ...how } = spec.options;
  const option = { targetType: source.ref, move: usual.spec.migration.length > 0, method: how.method, newResources: 'expose' as const };
  const made = templateFromOption({ ...option, augmentation: how.augmentation }, target.ref, target.spec, source.spec);
  const inverse = { ...made, options: { ...made.options, ...how } };
  return canonicalJson(inverse) === canonicalJson(usual.spec) ? usual : { name: contentName(inverse), spec: inverse };
};
