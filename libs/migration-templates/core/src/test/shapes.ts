import type { TemplateStep, VmTypeSpec } from '@chrysalis/contracts';
import type { MoveInput } from '../compile/context.ts';
import { shapeOf } from '../compile/shape.ts';
import { templateFromOption } from '../from-option.ts';
import { small, smallType, vm } from './fixtures.ts';

// Every shape a compiled move can have: each section empty or not, and what else decides which tasks there are.

export type MoveShape = Readonly<{
  name: string;
  move: boolean;
  /** An agent in the guest is asked. */
  guest: boolean;
  /** What is new is kept from the guest. */
  hide: boolean;
  unplugs: boolean;
  grows: readonly ('cpus' | 'memory' | 'disk')[];
  scripts: readonly ('before' | 'between' | 'after')[];
  /** The VM has all the target type's hardware already: the sections are there, and have nothing left to do. */
  already: boolean;
}>;

const subsets = <T>(all: readonly T[]): T[][] => all.reduce<T[][]>((sets, x) => [...sets, ...sets.map((s) => [...s, x])], [[]]);
const both = [false, true] as const;
const words = (s: Omit<MoveShape, 'name'>): string =>
  [
    s.move ? 'move' : 'morph',
    s.guest ? 'with an agent' : 'without an agent',
    s.hide ? 'hide' : 'expose',
    s.unplugs ? 'unplug' : '',
    s.grows.length > 0 ? `grow ${s.grows.join('+')}` : '',
    s.scripts.length > 0 ? `scripts ${s.scripts.join('+')}` : '',
    s.already ? 'as it is already' : '',
  ]
    .filter((w) => w !== '')
    .join(', ');

export const everyShape: readonly MoveShape[] = both.flatMap((move) =>
  both.flatMap((guest) =>
    both.flatMap((hide) =>
      both.flatMap((unplugs) =>
        both.flatMap((already) =>
          subsets(['cpus', 'memory', 'disk'] as const).flatMap((grows) =>
            subsets(['before', 'between', 'after'] as const)
              .filter(() => !hide || grows.length > 0)
              .map((scripts) => {
                const shape = { move, guest, hide, unplugs, grows, scripts, already };
                return { ...shape, name: words(shape) };
              }),
          ),
        ),
      ),
    ),
  ),
);

/** The type a shape leads to; the one it comes from where nothing changes. */
export const targetOf = ({ unplugs, grows }: Pick<MoveShape, 'unplugs' | 'grows'>, from: VmTypeSpec = small): VmTypeSpec => ({
  ...from,
  nics: unplugs ? from.nics.slice(0, 1) : from.nics,
  vcpus: grows.includes('cpus') ? { ...from.vcpus, now: from.vcpus.now + 2 } : from.vcpus,
  memoryMiB: grows.includes('memory') ? { ...from.memoryMiB, now: 2 * from.memoryMiB.now } : from.memoryMiB,
  disks: grows.includes('disk') ? from.disks.map((d) => ({ ...d, sizeMiB: 2 * d.sizeMiB })) : from.disks,
});

export const scriptStep = (name: string): TemplateStep => ({
  kind: 'guest-script',
  name,
  script: `echo ${name}`,
  undo: 'echo back',
  timeoutMs: 5000,
});

/** The template that leads from one type to the other in this shape; the scripts at its ends, and one between the steps in the guest. */
export const templateOf = (s: MoveShape, types: { from: MoveInput['template']['ref']; to: MoveInput['template']['ref'] }, from = small) => {
  const script = (when: MoveShape['scripts'][number]): TemplateStep[] => (s.scripts.includes(when) ? [scriptStep(`script-${when}`)] : []);
  const made = templateFromOption(
    { targetType: types.to, move: s.move, method: 'pre-copy', newResources: s.hide ? 'hide' : 'expose', augmentation: [] },
    types.from,
    from,
    targetOf(s, from),
    { preMigration: script('before') },
  );
  const guest = made.postMigration.filter((step) => step.kind !== 'guest-script');
  return { ...made, postMigration: [...guest.slice(0, 1), ...script('between'), ...guest.slice(1), ...script('after')] };
};

export const inputOf = (s: MoveShape): MoveInput => {
  const target = targetOf(s);
  const same = !s.unplugs && s.grows.length === 0;
  const to = same ? smallType.ref : { name: 'other', version: 1 };
  const spec = templateOf(s, { from: smallType.ref, to });
  const before = vm();
  return {
    migrationId: 'mig-1',
    moveId: 'mov-1',
    template: { ref: { name: 'shape', version: 1 }, spec },
    vm: s.already ? vm({ topology: shapeOf(before.topology, spec).after }) : before,
    target: { hostId: s.move ? 'h2' : 'h1', spec: target },
    guest: s.guest,
  };
};
