/**
 * What `look` finds, as soon as it finds something; it is asked every 20 ms, and given up after `ms`. A number is no answer, by its type
 * and when it comes all the same: 0 rows would be found. Say how many it must be.
 */
export const until = async <T extends object | string | true>(look: () => Promise<T | undefined | false>, ms = 120_000): Promise<T> => {
  for (const end = Date.now() + ms; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const found: unknown = await look();
    if (typeof found === 'number' || found === null) throw new TypeError(`neither found nor not: ${found}, of ${look.toString()}`);
    if (found !== undefined && found !== false) return found as T;
    if (Date.now() > end) throw new Error(`it did not come about in ${ms} ms: ${look.toString()}`);
  }
};
