import type { Kind } from '../kind.ts';
import { noteCodes } from './codes.ts';
import { noteCommands as c, noteEvents, noteStates } from './index.ts';
import { Note } from './view.ts';

export const noteKind = {
  noun: 'note',
  plural: 'notes',
  events: noteEvents,
  codes: noteCodes,
  routes: [
    { name: 'createNote', verb: 'post /v1/notes', command: c.createNote },
    { name: 'deleteNote', verb: 'delete /v1/notes/:id', command: c.deleteNote },
  ],
  view: Note,
  states: noteStates,
  filters: { name: { member: 'name', help: 'Only of this name' } },
} as const satisfies Kind;
