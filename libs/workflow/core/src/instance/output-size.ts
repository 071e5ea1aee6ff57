/** Characters of JSON that one task may give at most. */
export const MAX_OUTPUT = 262_144;

/** Stops as soon as it is sure: what is far too large costs no more than what is just too large. */
export const isLargerThan = (value: unknown, limit: number): boolean => {
  let left = limit;
  const stack: unknown[] = [value];
  while (stack.length > 0 && left >= 0) {
    const here = stack.pop();
    if (typeof here === 'string') left -= here.length + 2;
    else if (Array.isArray(here)) left -= elementsOf(here, left, stack);
    else if (here !== null && typeof here === 'object') left -= membersOf(here, left, stack);
    else left -= 5;
  }
  return left < 0;
};

const elementsOf = (here: readonly unknown[], left: number, stack: unknown[]): number => {
  const taken = here.length + 2;
  if (taken <= left) for (const inner of here) stack.push(inner);
  return taken;
};

/** What its names take, until that is more than there is left; the values wait on the stack. */
const membersOf = (here: object, left: number, stack: unknown[]): number => {
  let taken = 0;
  for (const [key, inner] of Object.entries(here)) {
    taken += key.length + 4;
    if (taken > left) return taken;
    stack.push(inner);
  }
  return taken;
};
