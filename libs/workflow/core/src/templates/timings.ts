/** A step that asks or writes something down. */
export const STEP_MS = 30_000;
/** A run over a whole host: each of its moves has deadlines of its own. */
export const LONG_MS = 86_400_000;
export const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
/** What other services told last may still be on its way. */
export const patient = { attempts: 6, backoffMs: 500, maxBackoffMs: 5_000 };
