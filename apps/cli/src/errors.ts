/** A fault in how the command was called. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What was asked for cannot be had as things are. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}
