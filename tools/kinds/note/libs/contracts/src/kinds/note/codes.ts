import type { CodeEntries } from '../../codes/entry.ts';

export const noteCodes = {
  'note.unknown': { status: 404, title: 'There is no such note', next: 'chrysalis note list' },
} as const satisfies CodeEntries;
