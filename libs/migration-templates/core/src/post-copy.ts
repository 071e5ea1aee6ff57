import { hostTasks, type PlannedMove, type TemplateOptions, type TemplateSpec } from '@chrysalis/contracts';
import type { MoveContext } from './compile/context.ts';
import { onHost } from './compile/task-list.ts';
import { retries } from './compile/timings.ts';

/** Its guest goes to the target before all of its memory has. */
export const isPostCopy = ({ migration, options }: Pick<TemplateSpec, 'migration' | 'options'>): boolean =>
  migration.length > 0 && options.method === 'post-copy';

const RECOVER_MS = 300_000;
export const postCopyOf = ({ postCopy = {} }: Pick<TemplateOptions, 'postCopy'>): { afterPasses: number; recoverWithinMs: number } => ({
  afterPasses: postCopy.afterPasses ?? 1,
  recoverWithinMs: postCopy.recoverWithinMs ?? RECOVER_MS,
});

/** What a plan says of it, in plain words. */
export const noWayBackOf = (spec: TemplateSpec, from: string, to: string): Pick<PlannedMove, 'noWayBack'> => {
  if (!isPostCopy(spec)) return {};
  const how = postCopyOf(spec.options);
  const passes = `${how.afterPasses} ${how.afterPasses === 1 ? 'pass' : 'passes'}`;
  const text =
    `After ${passes} over its memory the guest runs on ${to}, and from then on there is no way back: the rest of its memory follows from ${from}. ` +
    `If either host, or the way between them, is lost for good before all of it has come, the guest is lost and its disks are as they stood. ` +
    `A way that is cut is taken up again; after ${Math.round(how.recoverWithinMs / 1000)} s of it the move has failed`;
  return { noWayBack: { ...how, text } };
};

/** Until then the source is needed, and nothing is plugged. Answers what that waits for. */
export const awaitMemory = (m: MoveContext, deadlineMs: number): string[] => {
  const { input, tasks } = m;
  if (!isPostCopy(input.template.spec)) return [];
  const { vm, target, moveId } = input;
  const { recoverWithinMs } = postCopyOf(input.template.spec.options);
  return [
    tasks.add(hostTasks.awaitMemory, {
      name: 'await-memory',
      summary: `Send the rest of the memory from ${vm.hostId} to ${target.hostId}`,
      section: 'migration',
      route: onHost(vm.hostId),
      after: ['switch-over'],
      deadlineMs,
      retry: retries.forward,
      input: { vmId: vm.vmId, epoch: vm.epoch, moveId, recoverWithinMs },
    }),
  ];
};
