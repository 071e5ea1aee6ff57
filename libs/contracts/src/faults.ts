import { z } from 'zod';
import { NO_SUCH_MEMBER, wordsOfIssue } from './fault-words.ts';

// The language in which zod speaks where a schema has no words of its own: of this process, since schemas of every library are told of here.
z.config({ localeError: wordsOfIssue });

type Issue = {
  readonly code?: string;
  readonly keys?: readonly string[];
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly errors?: readonly (readonly Issue[])[];
  readonly issues?: readonly Issue[];
};

/** What does not fit a schema, each fault with its place: `disks.0.id`. `whole` is the place of the value itself. 100 at most. */
export const faultsIn = (error: z.ZodError, whole = ''): { path: string; message: string }[] =>
  error.issues
    .flatMap((issue) => nearestOf(issue))
    .slice(0, 100)
    .map((i) => ({ path: i.path.join('.') || whole, message: i.message }));

/** The same in one line, for a log or a cause, of `most` characters at most: `disks.0.id: text, not a number; vcpus: at least 1`. */
export const faultText = (error: z.ZodError, most = 2000): string =>
  faultsIn(error)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
    .join('; ')
    .slice(0, most);

/**
 * Of a choice of shapes zod says only that it is none of them, and of a key that it is none: the faults of the shape that comes
 * nearest, or of the key itself, say what to mend. A member too many is at fault at its own place.
 */
const nearestOf = (issue: Issue): readonly Issue[] => {
  if (issue.code === 'unrecognized_keys') return (issue.keys ?? []).map((key) => ({ path: [...issue.path, key], message: NO_SUCH_MEMBER }));
  const [nearest] = [...(issue.errors ?? (issue.issues ? [issue.issues] : []))].sort((a, b) => strangeness(a) - strangeness(b));
  if (nearest === undefined) return [issue];
  return nearest.flatMap((inner) => nearestOf({ ...inner, path: [...issue.path, ...inner.path] }));
};
/** Faults deep inside tell that the outline was meant; a missing or unknown member at the top that it was not. */
const strangeness = (faults: readonly Issue[]): number => faults.filter((f) => f.path.length < 2).length * 1_000 + faults.length;
