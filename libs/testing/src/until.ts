/** What `look` finds, as soon as it finds something; it is asked every 20 ms, and given up after `ms`. */
export const until = async <T>(look: () => Promise<T | undefined | false>, ms = 15_000): Promise<T> => {
  for (const end = Date.now() + ms; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`it did not come about in ${ms} ms: ${look.toString()}`);
  }
};
