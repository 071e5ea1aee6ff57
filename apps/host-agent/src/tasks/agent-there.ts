import { setTimeout as sleep } from 'node:timers/promises';
import { AGENT_PORT } from '../guests/agent-hardware.ts';
import type { HandlerContext } from './handler-context.ts';

const LOOK_EVERY_MS = 50;

/** Whether the migration agent in a guest has its port open, as the hypervisor shows it: nothing is asked of the guest. Looked for so long. */
export const agentThere = async ({ driver, now }: Pick<HandlerContext, 'driver' | 'now'>, vmId: string, ms: number): Promise<boolean> => {
  for (const end = now() + ms; ; await sleep(LOOK_EVERY_MS)) {
    if (await driver.guestListens(vmId, AGENT_PORT)) return true;
    if (now() >= end) return false;
  }
};
