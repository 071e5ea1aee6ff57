import type { Coded, EventOf, NoteEvent, noteEvents } from '@chrysalis/contracts';
import { accept, reject, type Decider, type Decision } from '@chrysalis/kernel';

type Kept = EventOf<(typeof noteEvents)['noteKept']>['data'];
type Note = Readonly<{ status: 'unknown' }> | Readonly<Kept & { status: 'kept' | 'deleted' }>;
type NoteCommand = Readonly<{ type: 'keep'; note: Kept }> | Readonly<{ type: 'delete'; noteId: string }>;
type NoteRejection = Coded<{ readonly code: 'note.unknown'; readonly noteId: string }>;
type NoteDecision = Decision<NoteEvent, NoteRejection>;

const decide = (command: NoteCommand, note: Note): NoteDecision => {
  if (command.type === 'keep') return accept({ type: 'chrysalis.provisioning.note.kept.v1', data: command.note });
  const { noteId } = command;
  if (note.status !== 'kept') return reject({ code: 'note.unknown', noteId });
  return accept({ type: 'chrysalis.provisioning.note.deleted.v1', data: { noteId } });
};
const evolve = (note: Note, e: NoteEvent): Note => {
  if (e.type === 'chrysalis.provisioning.note.kept.v1') return { ...e.data, status: 'kept' };
  return note.status === 'unknown' ? note : { ...note, status: 'deleted' };
};

export const noteDecider: Decider<NoteCommand, Note, NoteEvent, NoteDecision> = { initial: { status: 'unknown' }, decide, evolve };
