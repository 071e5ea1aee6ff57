import type { Code } from '@chrysalis/contracts';
import { CONSOLE_BYTES, type HypervisorDriver } from '@chrysalis/hypervisor';
import type { Logger as Log } from '@chrysalis/service-kit/log';

type Deps = {
  readonly driver: Pick<HypervisorDriver, 'progress' | 'consoleOf' | 'pressReset'>;
  readonly log: Log;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
};

type Ill = { readonly code: Code; readonly message: string };

/** Of CPUs that do nothing at all. A guest that is well shows it in milliseconds. */
const STILL_MS = 3_000;
/** From a reset to the first of what may go wrong in a start, on a slow machine. */
const START_MS = 8_000;
const LOOK_MS = 250;

/**
 * A guest that came by a move is well when its CPUs do something and its kernel has not given up: no agent is needed to see that. One that
 * restarted in mid-transfer is watched for a while, and is reset once where it is not well: it was starting anyway, and has nothing to lose.
 * `from`: what its console holds before is known.
 */
export const notWell = async (deps: Deps, vmId: string, restarted: boolean, from = 0): Promise<Ill | undefined> => {
  const seen = await watched(deps, vmId, restarted ? START_MS : 0, from);
  if (!seen || !restarted) return seen;
  deps.log.warn({ vmId, cause: seen }, 'a guest that restarted in mid-transfer is not well, and is reset');
  const { end } = deps.driver.consoleOf(vmId);
  await deps.driver.pressReset(vmId);
  return watched(deps, vmId, START_MS, end);
};

/** `from`: what the console's log held before is of an earlier start, or of another host. */
const watched = async ({ driver, now, sleep }: Deps, vmId: string, forMs: number, from: number): Promise<Ill | undefined> => {
  for (const until = now() + forMs; ; await sleep(LOOK_MS)) {
    const progress = await driver.progress(vmId, STILL_MS);
    if (!progress.moves)
      return {
        code: 'host.guest_stands_still',
        message: `its CPUs did nothing for ${STILL_MS} ms:\n${progress.registers}`.slice(0, 2_000),
      };
    const panic = /^.*Kernel panic - .*$/m.exec(
      driver
        .consoleOf(vmId)
        .read(from, CONSOLE_BYTES * 2)
        .bytes.toString(),
    );
    if (panic) return { code: 'host.guest_panicked', message: `its console says: ${panic[0].trim()}`.slice(0, 2_000) };
    if (now() >= until) return undefined;
  }
};
