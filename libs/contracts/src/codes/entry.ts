export type CodeEntry = {
  /** Of the answer over HTTP. None: the code comes inside of another answer, as a cause, a blocker or a fault. */
  readonly status?: number;
  readonly title: string;
  /** What to do next. `{vmId}` is filled with that member of what came with the code; of several texts the first that can be filled counts. */
  readonly next: string | readonly string[];
};

/** `noun.reason`: a code never changes its meaning. */
export type CodeEntries = Readonly<Record<`${string}.${string}`, CodeEntry>>;
