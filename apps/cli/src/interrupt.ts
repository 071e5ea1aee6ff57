let last: readonly string[] = [];

/** What to say when Ctrl-C ends the watching, and not what is watched: how that stands, and how to watch on. */
export const onInterrupt = (stands: string, next: string): void => {
  last = [stands, `next: ${next}`];
};

/** 128 and the number of SIGINT, as shells do. */
export const interrupted = (): never => {
  process.stderr.write(last.map((line) => `${line}\n`).join(''));
  process.exit(130);
};
