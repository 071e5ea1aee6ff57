import { Controller, Delete, HttpCode, Inject, Param, Post, Req } from '@nestjs/common';
import { noteCommands } from '@chrysalis/contracts';
import { notes } from '@chrysalis/provisioning-core';
import {
  Allow,
  AsMessage,
  Commands,
  Doc,
  dryRunQuery,
  ofTenant,
  ProblemError,
  reachOf,
  SERVICE,
  type Answer,
  type CommandRequest,
  type ServiceContext,
} from '@chrysalis/service-kit';

const { createNote, deleteNote } = noteCommands;

@Controller()
class NotesController {
  constructor(
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(Commands) private readonly commands: Commands,
  ) {}

  @Post('/v1/notes')
  @Allow('operator')
  @AsMessage(createNote)
  @Doc({ summary: createNote.summary, body: createNote.body, query: dryRunQuery, answers: { 201: createNote.answer } })
  create(@Req() request: CommandRequest): Promise<Answer> {
    return this.commands.run(request, createNote.body, async ({ name, text }, ctx) => {
      const noteId = ctx.newId('note');
      const { tenant } = ctx.caller;
      const decided = await ctx.decide(noteId, notes.noteDecider, { type: 'keep', note: { noteId, name, tenant, text } });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      await ctx.tx.query(`insert into ${this.service.schema}.notes (note, tenant) values ($1, $2)`, [noteId, tenant]);
      return { status: 201, body: { noteId } };
    });
  }

  @Delete('/v1/notes/:id')
  @HttpCode(200)
  @Allow('operator')
  @AsMessage(deleteNote)
  @Doc({ summary: deleteNote.summary, query: dryRunQuery, answers: { 200: deleteNote.answer, 404: '`note.unknown`' } })
  remove(@Req() request: CommandRequest, @Param('id') id: string): Promise<Answer> {
    return this.commands.run(request, deleteNote.body, async (_, ctx) => {
      const { rows } = await ctx.tx.query<{ tenant: string }>(
        `select tenant from ${this.service.schema}.notes where note = $1 and ($2::text is null or tenant = $2)`,
        [id, reachOf(ctx.caller) ?? null],
      );
      if (!rows[0]) throw ProblemError.of({ code: 'note.unknown', noteId: id });
      const decided = await ofTenant(ctx, rows[0].tenant).decide(id, notes.noteDecider, { type: 'delete', noteId: id });
      if (!decided.ok) throw ProblemError.of(decided.rejection);
      return { status: 200, body: { noteId: id } };
    });
  }
}

export const notePart = { controllers: [NotesController], handlers: [] };
