import { MOST_COPIES, refText, type Blocker, type Characterisation, type MigrationOption, type Ref } from '@chrysalis/contracts';
import { blocker, distinct } from './blockers.ts';
import { failsafe } from './characterisation.ts';
import { difference, withoutRemoved } from './difference.ts';
import { byId, fitOf, offlinesCpus, type Fit, type KnownHosts } from './fit.ts';
import { newest, type KnownHost, type KnownType, type KnownVm } from './known.ts';
import { optionVerdict } from './option-verdict.ts';
import { interruptionOf, madeWhole } from './restart.ts';

export type Choice = Readonly<{
  targetType: Ref;
  move: boolean;
  method: MigrationOption['method'];
  newResources: MigrationOption['newResources'];
}>;
export type OptionsAnswer = {
  source: 'agent' | 'failsafe' | 'mixed';
  options: MigrationOption[];
  refused: { id: string; blockers: Blocker[] }[];
};

const methods = ['pre-copy', 'post-copy', 'save-and-restore', 'restart'] as const;

/** Stable text: `large@1/move/pre-copy/expose`; a morph moves nothing, so it names no method: `large@1/morph/expose`. */
export const optionId = (c: Choice): string =>
  c.move ? `${refText(c.targetType)}/move/${c.method}/${c.newResources}` : `${refText(c.targetType)}/morph/${c.newResources}`;

const choicesFor = (targetType: Ref): Choice[] => [
  ...methods.flatMap((method) => (['expose', 'hide'] as const).map((newResources) => ({ targetType, move: true, method, newResources }))),
  ...(['expose', 'hide'] as const).map((newResources) => ({ targetType, move: false, method: 'pre-copy' as const, newResources })),
];

/** The newest version of each type, and those the VMs are of: a move need not change the type. */
const targets = (vms: readonly KnownVm[], types: readonly KnownType[]): KnownType[] => {
  const out = new Map(newest(types).map((t) => [refText(t.ref), t]));
  for (const vm of vms) out.set(refText(vm.type), { ref: vm.type, spec: vm.spec });
  return [...out.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, t]) => t);
};

const sourceOf = (cs: readonly Characterisation[]): OptionsAnswer['source'] => {
  const kinds = new Set(cs.map((c) => (c.source === 'failsafe' ? 'failsafe' : 'agent')));
  return kinds.size === 1 ? [...kinds][0]! : kinds.size === 0 ? 'failsafe' : 'mixed';
};

/**
 * To which types, and how, this set of VMs can go as one. An option is offered if each VM of the set can take it; else every reason of
 * every VM is given. Where a VM has no characterisation it is as if failsafe: nothing that touches a guest is offered.
 */
export const options = (
  vms: readonly KnownVm[],
  types: readonly KnownType[],
  hosts: readonly KnownHost[],
  characterisations: ReadonlyMap<string, Characterisation>,
): OptionsAnswer => {
  const answer: OptionsAnswer = {
    source: sourceOf(vms.map((vm) => characterisations.get(vm.vmId) ?? failsafe(vm.vmId, ''))),
    options: [],
    refused: [],
  };
  const known = byId(hosts);
  for (const target of targets(vms, types)) {
    const fitsOf = remembered((choice) => vms.map((vm) => optionFit(vm, target, choice, known)));
    for (const choice of choicesFor(target.ref)) {
      const fits = fitsOf(choice);
      const verdicts = vms.map((vm, i) => optionVerdict(vm, target, choice, fits[i]!, characterisations.get(vm.vmId)));
      const blockers = distinct(verdicts.flatMap((v) => v.blockers));
      const id = optionId(choice);
      if (blockers.length > 0) answer.refused.push({ id, blockers });
      else
        answer.options.push({
          ...toOption(choice, id),
          hosts: union(fits.map((f) => f.hosts)),
          ...copiesOf(vms, fits),
          needsAgent: verdicts.some((v) => v.needs.length > 0),
        });
    }
  }
  return answer;
};

/** Of a VM that runs on, the hosts do not depend on what its guest is shown. */
const remembered = (fits: (c: Choice) => Fit[]): ((c: Choice) => Fit[]) => {
  const known = new Map<string, Fit[]>();
  return (c) => {
    const key = c.move ? `${c.method}${c.method === 'restart' ? c.newResources : ''}` : 'morph';
    const found = known.get(key) ?? fits(c);
    known.set(key, found);
    return found;
  };
};

const optionFit = (vm: KnownVm, { spec }: KnownType, { move: moves, method, newResources }: Choice, hosts: KnownHosts): Fit => {
  const moved =
    moves && method === 'restart'
      ? madeWhole(vm, spec, newResources)
      : withoutRemoved(vm.topology, difference(vm, spec), offlinesCpus(hosts.get(vm.hostId)));
  const fit = fitOf({ vm, target: spec, moved, moves, method }, hosts);
  if (fit.hosts.length > 0 || fit.blockers.length > 0) return fit;
  return { ...fit, blockers: [blocker('option.no_other_host', vm.vmId, 'there is no other host', 'add a host')] };
};

const copiesOf = (vms: readonly KnownVm[], fits: readonly Fit[]): Pick<MigrationOption, 'copies'> => {
  const copies = fits.flatMap(({ copied }, i) => copied.map(({ disk, sizeMiB }) => ({ vmId: vms[i]!.vmId, disk, sizeMiB })));
  return copies.length === 0 ? {} : { copies: copies.slice(0, MOST_COPIES) };
};

const union = (lists: readonly (readonly string[])[]): string[] => [...new Set(lists.flat())].sort();

const wayOf = ({ move, method }: Choice): string => {
  if (!move) return 'Change on its present host';
  if (method === 'save-and-restore') return 'Stand still, be saved to a file, and go on on another host';
  return method === 'restart' ? 'Shut down, and start on another host' : `Move live (${method}) to another host`;
};

const toOption = (c: Choice, id: string): Omit<MigrationOption, 'hosts' | 'needsAgent'> => ({
  id,
  targetType: c.targetType,
  move: c.move,
  method: c.method,
  newResources: c.newResources,
  augmentation: [],
  interruption: interruptionOf(c.move, c.method),
  summary: [
    wayOf(c),
    `as ${refText(c.targetType)}`,
    c.newResources === 'expose' ? 'with all of its resources' : 'and keep new resources from the guest until later',
  ].join(', '),
});
