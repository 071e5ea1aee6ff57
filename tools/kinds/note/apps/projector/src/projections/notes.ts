import { noteEvents as e } from '@chrysalis/contracts';
import { merge, on, type Handler } from '../projection.ts';

export const notes: readonly Handler[] = [
  on(e.noteKept, (d) => [merge('notes', d.noteId, { ...d, state: 'kept' })]),
  on(e.noteDeleted, (d) => [merge('notes', d.noteId, { state: 'deleted' })]),
];
