import type { Command } from 'commander';
import { action, examples, listCommand } from '../command.ts';
import { exits } from '../exit.ts';
import { print } from '../show/output.ts';

export const noteCommands = (program: Command): void => {
  const note = program.command('note').description('what a tenant wants to remember');
  examples(
    listCommand(note.command('list').description('the notes, newest first'), {
      path: '/v1/notes',
      empty: 'No notes.',
      columns: { id: (n) => n.noteId, name: (n) => n.name, text: (n) => n.text },
    }),
    'note list',
  );
  examples(
    action(note.command('create').argument('<name>').argument('<text>').description('keep a note'), async (run) => {
      const answer = await run.client.post('/v1/notes', { body: { name: run.args[0]!, text: run.args[1]! } });
      await print(run.format, answer, () => answer.noteId);
      return exits.ok;
    }),
    'note create plan "empty rack1 on Monday"',
  );
  examples(
    action(note.command('delete').argument('<note>', 'id').description('delete a note'), async (run) => {
      const answer = await run.client.delete('/v1/notes/{id}', { path: { id: run.args[0]! } });
      await print(run.format, answer, () => `${answer.noteId} is deleted`);
      return exits.ok;
    }),
    'note delete note-0199c0de-0000-7000-8000-0000000000a1',
  );
};
