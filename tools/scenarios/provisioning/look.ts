import { ApiError } from '@chrysalis/api-client';
import type { VmAction } from '@chrysalis/contracts';
import type { VmView } from '../../fleet/story.ts';
import type { ActionOptions, Lab } from './lab.ts';

/** How an action ended. */
export const acted = async (
  lab: Lab,
  { vmId }: VmView,
  action: VmAction,
  options?: ActionOptions,
): Promise<{ ended: string; code?: string }> => {
  const end = await lab.act(vmId, action, options);
  return { ended: end?.state ?? 'so already', ...(end?.cause ? { code: end.cause.code } : {}) };
};

/** The code of a refusal, and what it says that fits. */
export const refusal = (asked: Promise<unknown>): Promise<object> =>
  asked.then(
    () => ({ refused: 'no' }),
    (error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
      const { code, status, instead, fits } = error.problem;
      return { refused: code, status, ...(fits === undefined ? {} : { fits }), ...(instead === undefined ? {} : { instead }) };
    },
  );

/** The guest once it serves; `undefined` where it does not within 20 s. */
export const served = async (lab: Lab, vm: VmView) => {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    const answer = await lab.outside.asks(vm);
    if (answer) return answer;
  }
  return undefined;
};

export const pidsOf = (lab: Lab, vm: VmView): number[] => lab.outside.processes(vm).map((q) => q.pid);
/** One process, and the one that it was. */
export const sameQemu = (before: readonly number[], now: readonly number[]): boolean => before.length === 1 && before.join() === now.join();
