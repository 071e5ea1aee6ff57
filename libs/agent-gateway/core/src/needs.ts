import { guestTasks, hostTasks } from '@chrysalis/contracts';
import type { GrantAction } from './grant.ts';

const actions: Readonly<Record<string, GrantAction>> = {
  [hostTasks.addAgent.kind]: 'add-agent',
  [guestTasks.characterise.kind]: 'characterise',
  [guestTasks.facts.kind]: 'characterise',
  [guestTasks.verify.kind]: 'characterise',
  [guestTasks.onlineCpus.kind]: 'reconfigure',
  [guestTasks.offlineCpus.kind]: 'reconfigure',
  [guestTasks.onlineMemory.kind]: 'reconfigure',
  [guestTasks.growFileSystem.kind]: 'reconfigure',
  [guestTasks.runScript.kind]: 'run-script',
};

/**
 * Which action of a grant a task needs; nothing for what does not go into a guest. Taking the agent out needs none: leaving a guest
 * must always be possible. A `guest.` kind that is not known here needs what no grant gives.
 */
export const actionNeeded = (kind: string): GrantAction | 'none-known' | undefined =>
  actions[kind] ?? (kind.startsWith('guest.') ? 'none-known' : undefined);
