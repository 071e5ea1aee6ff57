import { GuestError } from '@chrysalis/contracts';
import { onlineCpus } from '../guest/facts.ts';
import { poll, type Guest } from '../guest/guest.ts';

const dir = 'sys/devices/system/cpu';
/** A plugged CPU shows up some milliseconds after QEMU's answer; under TCG an online step takes 20 to 200 ms. */
const DEADLINE_MS = 5_000;

const cpuNumbers = async (guest: Guest): Promise<number[]> =>
  (await guest.list(dir)).filter((n) => /^cpu\d+$/.test(n)).map((n) => Number(n.slice(3)));

/** Online until there are `vcpus`, the lowest first. Already true: nothing is written. */
export const bringCpusOnline = async (guest: Guest, vcpus: number, deadlineMs = DEADLINE_MS): Promise<{ online: number }> => {
  const refused: Record<string, string> = {};
  const done = await poll(
    async () => {
      const online = await onlineCpus(guest);
      if (online.length >= vcpus) return online.length;
      const offline = (await cpuNumbers(guest)).filter((n) => !online.includes(n)).sort((a, b) => a - b);
      for (const n of offline.slice(0, vcpus - online.length)) {
        const error = await guest.write(`${dir}/cpu${n}/online`, '1');
        if (error) refused[`cpu${n}`] = error;
      }
      const now = await onlineCpus(guest);
      return now.length >= vcpus ? now.length : undefined;
    },
    { deadlineMs },
  );
  if (done !== undefined) return { online: done };
  const online = (await onlineCpus(guest)).length;
  const here = await guest.read(`${dir}/present`);
  throw new GuestError('guest.cpus_not_online', `${online} of ${vcpus} CPUs are online`, { online, present: here, refused });
};

/** Offline until there are `vcpus`, the highest first; cpu0 stays. */
export const takeCpusOffline = async (guest: Guest, vcpus: number): Promise<{ online: number }> => {
  const refused: Record<string, string> = {};
  for (const n of (await onlineCpus(guest)).sort((a, b) => b - a)) {
    if (n === 0 || (await onlineCpus(guest)).length <= vcpus) break;
    const error = await guest.write(`${dir}/cpu${n}/online`, '0');
    if (error) refused[`cpu${n}`] = error;
  }
  const online = (await onlineCpus(guest)).length;
  if (online > vcpus) throw new GuestError('guest.cpus_not_offline', `${online} CPUs are online, not ${vcpus}`, { online, refused });
  return { online };
};
