/** A fault in how the command was called. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A name that several have: they are listed, and none is guessed. */
export class SeveralNamedError extends Error {
  override readonly name = 'SeveralNamedError';

  constructor(
    readonly named: string,
    what: string,
    lines: readonly string[],
  ) {
    super([`${lines.length} ${what} are named ${named}`, ...lines.map((line) => `  ${line}`)].join('\n'));
  }
}

/** What was asked for cannot be had as things are. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}
