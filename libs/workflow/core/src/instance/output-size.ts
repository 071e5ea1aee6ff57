/** Characters of JSON that one task may give at most. */
export const MAX_OUTPUT = 262_144;

/** Stops as soon as it is sure: what is far too large costs no more than what is just too large. */
export const isLargerThan = (value: unknown, limit: number): boolean => {
  let left = limit;
  const stack: unknown[] = [value];
  while (stack.length > 0 && left >= 0) {
    const here = stack.pop();
    if (typeof here === 'string') left -= here.length + 2;
    else if (Array.isArray(here)) {
      left -= here.length + 2;
      if (left >= 0) for (const inner of here) stack.push(inner);
    } else if (here !== null && typeof here === 'object') {
      for (const [key, inner] of Object.entries(here)) {
        left -= key.length + 4;
        stack.push(inner);
        if (left < 0) return true;
      }
    } else left -= 5;
  }
  return left < 0;
};
