import { z } from 'zod';
import { Row } from '../../views/rows.ts';
import { noteStates } from './index.ts';

export const Note = Row.extend({
  noteId: z.string(),
  name: z.string(),
  tenant: z.string(),
  state: z.enum(noteStates),
  text: z.string(),
}).meta({ id: 'Note' });
