import { z } from 'zod';
import { command } from '../../commands.ts';
import { event, type EventsOf } from '../../define.ts';
import { Name } from '../../shapes.ts';

export const noteStates = ['kept', 'deleted'] as const;
const NoteId = z.string().regex(/^note-[0-9a-f-]{36}$/);
const Text = z.string().min(1).max(1000);

export const noteEvents = {
  noteKept: event(
    'chrysalis.provisioning.note.kept.v1',
    'A tenant keeps a note',
    z.object({ noteId: NoteId, name: Name, tenant: Name, text: Text }),
  ),
  noteDeleted: event('chrysalis.provisioning.note.deleted.v1', 'The note is gone', z.object({ noteId: NoteId })),
} as const;
export type NoteEvent = EventsOf<typeof noteEvents>;

export const noteCommands = {
  createNote: command('chrysalis.provisioning.note.create.v1', 'Keep a note', {
    body: z.strictObject({ name: Name, text: Text }),
    answer: z.object({ noteId: NoteId }),
  }),
  deleteNote: command('chrysalis.provisioning.note.delete.v1', 'Delete a note', {
    params: ['id'],
    body: z.strictObject({}),
    answer: z.object({ noteId: NoteId }),
  }),
};
