/** Like Promise.all, and rejects with the first fault only when each has come to its end. */
export const allEnded = async <T>(works: readonly Promise<T>[]): Promise<T[]> => {
  let fault: { readonly error: unknown } | undefined;
  const ended = works.map((work) => work.catch((error: unknown) => void (fault ??= { error })));
  const results = await Promise.all(ended);
  if (fault) throw fault.error;
  return results as T[];
};
