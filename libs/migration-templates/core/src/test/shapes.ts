import { plugged, type TemplateStep, type Topology, type VmTypeSpec } from '@chrysalis/contracts';
import type { MoveInput } from '../compile/context.ts';
import { shapeOf } from '../compile/shape.ts';
import { templateFromOption } from '../from-option.ts';
import { small, smallType, topology, vm } from './fixtures.ts';

// Every shape a compiled move can have: each section empty or not, and what else decides which tasks there are.

export type MoveShape = Readonly<{
  name: string;
  move: boolean;
  /** An agent in the guest is asked. */
  guest: boolean;
  /** What is new is kept from the guest. */
  hide: boolean;
  unplugs: boolean;
  grows: readonly ('cpus' | 'memory' | 'disk' | 'nic')[];
  /** What was plugged once, and goes; a disk is larger than the type has it, and stays. */
  shrinks: readonly ('cpus' | 'memory' | 'disk')[];
  /** CPUs are not unplugged there, but offlined. */
  offlines: boolean;
  scripts: readonly ('before' | 'between' | 'after')[];
  /** The VM has all the target type's hardware already: the sections are there, and have nothing left to do. */
  already: boolean;
  /** It begins anew at the target. */
  restarts: boolean;
  /** It goes by a file. */
  saves?: true;
  /** It goes before all of its memory. */
  postCopy?: true;
  /** Somebody has to approve of its switch-over. */
  asks: boolean;
}>;

const subsets = <T>(all: readonly T[]): T[][] => all.reduce<T[][]>((sets, x) => [...sets, ...sets.map((s) => [...s, x])], [[]]);
const both = [false, true] as const;
const words = (s: Omit<MoveShape, 'name'>): string =>
  [
    s.restarts ? 'restart' : s.saves ? 'save and restore' : s.postCopy ? 'post-copy' : s.move ? 'move' : 'morph',
    s.guest ? 'with an agent' : 'without an agent',
    s.hide ? 'hide' : 'expose',
    s.unplugs ? 'unplug' : '',
    s.grows.length > 0 ? `grow ${s.grows.join('+')}` : '',
    s.shrinks.length > 0 ? `shrink ${s.shrinks.join('+')}${s.offlines ? ' by offlining' : ''}` : '',
    s.scripts.length > 0 ? `scripts ${s.scripts.join('+')}` : '',
    s.already ? 'as it is already' : '',
    s.asks ? 'with an approval' : '',
  ]
    .filter((w) => w !== '')
    .join(', ');

/** All that grows in every combination; what shrinks alone, together, and beside something that grows. */
const changes: readonly (Pick<MoveShape, 'grows' | 'shrinks'> & { readonly offlines?: true })[] = [
  ...subsets(['cpus', 'memory', 'disk'] as const).map((grows) => ({ grows, shrinks: [] })),
  { grows: ['nic'], shrinks: [] },
  { grows: ['cpus', 'memory', 'disk', 'nic'], shrinks: [] },
  { grows: [], shrinks: ['cpus'] },
  { grows: [], shrinks: ['cpus'], offlines: true },
  { grows: [], shrinks: ['memory'] },
  { grows: ['disk', 'nic'], shrinks: ['cpus', 'memory'], offlines: true },
  { grows: ['nic'], shrinks: ['cpus', 'memory', 'disk'] },
  { grows: ['cpus'], shrinks: ['memory'] },
  { grows: ['memory', 'disk'], shrinks: ['cpus'] },
];

const running: readonly MoveShape[] = both.flatMap((move) =>
  both.flatMap((guest) =>
    both.flatMap((hide) =>
      both.flatMap((unplugs) =>
        both.flatMap((already) =>
          changes.flatMap((change) =>
            subsets(['before', 'between', 'after'] as const)
              .filter(() => !hide || change.grows.length > 0)
              .map((scripts) => {
                const shape = { move, guest, hide, unplugs, offlines: false, ...change, scripts, already, restarts: false, asks: false };
                return { ...shape, name: words(shape) };
              }),
          ),
        ),
      ),
    ),
  ),
);

/** Nothing is plugged, and no script runs after it. */
const anew: readonly MoveShape[] = running
  .filter((s) => s.move && !s.already && !s.offlines && !s.scripts.some((w) => w !== 'before'))
  .map((s) => ({ ...s, restarts: true }))
  .map((s) => ({ ...s, name: words(s) }));
/** In between nothing is other than of a move that is live. */
const byFile: readonly MoveShape[] = running
  .filter((s) => s.move && !s.already && s.scripts.length !== 1)
  .map((s): MoveShape => ({ ...s, saves: true }))
  .map((s) => ({ ...s, name: words(s) }));
const late: readonly MoveShape[] = running
  .filter((s) => s.move && !s.already && s.scripts.length !== 1)
  .map((s) => ({ ...s, postCopy: true as const }))
  .map((s) => ({ ...s, name: words(s) }));
const asked: readonly MoveShape[] = [...running, ...anew, ...byFile, ...late]
  .filter((s) => s.move && !s.already && s.scripts.length === 0)
  .map((s) => ({ ...s, asks: true }))
  .map((s) => ({ ...s, name: words(s) }));
export const everyShape: readonly MoveShape[] = [...running, ...anew, ...byFile, ...late, ...asked];

/** The type a shape comes from: what shrinks was plugged, beside what was there at boot. */
export const sourceOf = ({ shrinks }: Pick<MoveShape, 'shrinks'>): VmTypeSpec => ({
  ...small,
  vcpus: { ...small.vcpus, now: small.vcpus.now + (shrinks.includes('cpus') ? 2 : 0) },
  memoryMiB: { ...small.memoryMiB, now: (shrinks.includes('memory') ? 2 : 1) * small.memoryMiB.now },
});

/** The type a shape leads to; the one it comes from where nothing changes. */
export const targetOf = (s: Pick<MoveShape, 'unplugs' | 'grows' | 'shrinks'>, from: VmTypeSpec = sourceOf(s)): VmTypeSpec => {
  const { unplugs, grows, shrinks } = s;
  const nics = unplugs ? from.nics.slice(0, 1) : from.nics;
  const factor = (grows.includes('disk') ? 2 : 1) * (shrinks.includes('disk') ? 0.5 : 1);
  return {
    ...from,
    nics: grows.includes('nic') ? [...nics, { id: 'further', network: 'lan' }] : nics,
    vcpus: { ...from.vcpus, now: from.vcpus.now + (grows.includes('cpus') ? 2 : 0) - (shrinks.includes('cpus') ? 2 : 0) },
    memoryMiB: { ...from.memoryMiB, now: from.memoryMiB.now * (grows.includes('memory') ? 2 : 1) * (shrinks.includes('memory') ? 0.5 : 1) },
    disks: from.disks.map((d) => ({ ...d, sizeMiB: d.sizeMiB * factor })),
  };
};

export const scriptStep = (name: string): TemplateStep => ({
  kind: 'guest-script',
  name,
  script: `echo ${name}`,
  undo: 'echo back',
  timeoutMs: 5000,
});

/** The template that leads from one type to the other in this shape; the scripts at its ends, and one between the steps in the guest. */
export const templateOf = (
  s: MoveShape,
  types: { from: MoveInput['template']['ref']; to: MoveInput['template']['ref'] },
  from = sourceOf(s),
) => {
  const script = (when: MoveShape['scripts'][number]): TemplateStep[] => (s.scripts.includes(when) ? [scriptStep(`script-${when}`)] : []);
  const made = templateFromOption(
    {
      targetType: types.to,
      move: s.move,
      method: s.restarts ? 'restart' : s.saves ? 'save-and-restore' : s.postCopy ? 'post-copy' : 'pre-copy',
      newResources: s.hide ? 'hide' : 'expose',
      augmentation: [],
    },
    types.from,
    from,
    targetOf(s, from),
    { preMigration: script('before') },
  );
  const guest = made.postMigration.filter((step) => step.kind !== 'guest-script');
  const options = { ...made.options, ...(s.asks ? { approval: { withinMs: 60_000, onTimeout: 'abort' as const } } : {}) };
  return { ...made, options, postMigration: [...guest.slice(0, 1), ...script('between'), ...guest.slice(1), ...script('after')] };
};

const pluggedOnce = ({ shrinks }: MoveShape): Topology => {
  const cpus = shrinks.includes('cpus') ? [1, 2].map((coreId) => ({ kind: 'cpu' as const, id: `cpu${coreId}`, coreId })) : [];
  const dimms = shrinks.includes('memory') ? [{ kind: 'memory' as const, id: 'dimm0', sizeMiB: small.memoryMiB.now }] : [];
  return [...cpus, ...dimms].reduce<Topology>((t, d) => plugged(t, d), topology());
};

export const inputOf = (s: MoveShape): MoveInput => {
  const target = targetOf(s);
  const same = !s.unplugs && s.grows.length + s.shrinks.length === 0;
  const to = same ? smallType.ref : { name: 'other', version: 1 };
  const spec = templateOf(s, { from: smallType.ref, to });
  const before = vm({ spec: sourceOf(s), topology: pluggedOnce(s) });
  return {
    migrationId: 'mig-1',
    moveId: 'mov-1',
    template: { ref: { name: 'shape', version: 1 }, spec },
    vm: s.already ? vm({ spec: sourceOf(s), topology: shapeOf(before, spec, { offlines: s.offlines, target }).after }) : before,
    target: { hostId: s.move ? 'h2' : 'h1', spec: target },
    guest: s.guest,
    offlines: s.offlines,
  };
};
