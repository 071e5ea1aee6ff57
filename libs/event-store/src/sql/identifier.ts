/** Schema names are ours, never a user's; checked all the same, as they are written into statements. */
export const identifier = (name: string): string => {
  if (!/^[a-z_][a-z0-9_]{0,40}$/.test(name)) throw new Error(`not a schema name: ${JSON.stringify(name)}`);
  return name;
};
