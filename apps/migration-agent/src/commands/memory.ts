import { GuestError } from '@chrysalis/contracts';
import { memoryBlocks } from '../guest/facts.ts';
import { poll, type Guest } from '../guest/guest.ts';

const DEADLINE_MS = 5_000;

/**
 * Online until there are `memoryMiB`. As movable memory where the kernel allows it, so that it can be taken out again;
 * else as the kernel likes.
 */
export const bringMemoryOnline = async (guest: Guest, memoryMiB: number, deadlineMs = DEADLINE_MS): Promise<{ onlineMiB: number }> => {
  const refused: Record<string, string> = {};
  const done = await poll(
    async () => {
      const before = await memoryBlocks(guest);
      if (before.onlineMiB >= memoryMiB) return before.onlineMiB;
      const missing = Math.ceil((memoryMiB - before.onlineMiB) / (before.blockMiB || 1));
      for (const { name } of before.blocks.filter((b) => !b.online).slice(0, missing)) {
        const state = `sys/devices/system/memory/${name}/state`;
        const error = (await guest.write(state, 'online_movable')) && (await guest.write(state, 'online'));
        if (error) refused[name] = error;
      }
      const after = await memoryBlocks(guest);
      return after.onlineMiB >= memoryMiB ? after.onlineMiB : undefined;
    },
    { deadlineMs },
  );
  if (done !== undefined) return { onlineMiB: done };
  const { onlineMiB, blockMiB, blocks } = await memoryBlocks(guest);
  const detail = { onlineMiB, blockMiB, blocks: blocks.length, refused };
  throw new GuestError('guest.memory_not_online', `${onlineMiB} of ${memoryMiB} MiB are online`, detail);
};
