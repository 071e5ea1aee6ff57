import type { LocalHandler, LocalKinds } from './local.ts';

/** Gives its input back as its output: gathers values of several tasks under one name, or is a place where branches meet. */
const pass: LocalHandler = (input) => ({ ok: true, output: input });

/** What the workflow service executes itself: a new kind is a line here. */
export const localKinds: LocalKinds = {
  'workflow.pass': pass,
};
