import { volumeHostTasks as tasks } from '@chrysalis/contracts';
import type { Handler } from '../execution/handler.ts';
import { handler, type HandlerContext } from '../tasks/handler-context.ts';

/** The format of every volume; its file's name says so too. */
const FORMAT = 'qcow2';

/** One thing at a time with a volume of this host. */
const ofVolume = (h: Handler): Handler => ({ ...h, lane: (input: { volume?: unknown }) => `volume-${String(input.volume)}` });
const anyState = (): void => undefined;

/** What is so already is done: each of these may come twice, late, and after a crash in its middle. */
export const volumeHandlers = ({ driver }: HandlerContext): Handler[] => [
  ofVolume(
    handler(tasks.createVolume, anyState, ({ pool, volume, sizeMiB }) => driver.createVolume({ pool, volume, sizeMiB, format: FORMAT })),
  ),
  ofVolume(
    handler(tasks.deleteVolume, anyState, async ({ pool, volume }) => {
      await driver.deleteVolume(pool, volume);
      return {};
    }),
  ),
];
