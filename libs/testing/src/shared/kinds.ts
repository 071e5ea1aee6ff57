/** The servers that can be shared, each a module that exports `start(): Promise<{ info, stop }>`. */
export const path = (kind: string): string => {
  if (kind !== 'postgres' && kind !== 'kafka') throw new Error(`no shared server called ${kind}`);
  return new URL(`./${kind}.ts`, import.meta.url).href;
};
