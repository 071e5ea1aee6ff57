import { z } from 'zod';
import { task } from '../define.ts';
import { Blocker } from '../migration-templates.ts';
import { Cause, Characterisation, Count, Id, Name, Positive, RefText } from '../shapes.ts';
import { none } from './common.ts';

/**
 * What became of one VM of a run. `unneeded`: it was so already. `blocked`: see `blockers`. `not-begun`: the run stopped before it, see
 * `cause`. The others are the end of its move.
 */
export const RunResult = z.object({
  vmId: Id,
  state: z.enum(['succeeded', 'undone', 'failed', 'blocked', 'unneeded', 'not-begun']),
  migrationId: Id.optional(),
  toHost: Name.optional(),
  cause: Cause.optional(),
  blockers: z.array(Blocker).optional(),
});
export type RunResult = z.infer<typeof RunResult>;

export const migrationTemplatesTasks = {
  recordCharacterisation: task(
    'migration-templates',
    'template.record-characterisation',
    'Keep what was found in a guest',
    z.object({ vmId: Id, characterisation: Characterisation }),
    none,
  ),
  answerOptions: task(
    'migration-templates',
    'template.answer-options',
    'Work out the options of a query from what is known now',
    z.object({ queryId: Id }),
    none,
  ),
  checkBlockers: task(
    'migration-templates',
    'template.check-blockers',
    'Fail with every blocker that the preflights of a move found; without any, let the move go on',
    z.object({ vmId: Id, ends: z.array(z.object({ role: z.enum(['source', 'target']), blockers: z.array(Blocker) })).max(2) }),
    none,
  ),
  /**
   * By `template`; else made for each VM: to `toType` (in place, or with `move` on another host), or without one its own type on another
   * host. Reports when every move has ended. After `maxFailures` moves that did not succeed (5 unless told) no further one begins.
   */
  run: task(
    'migration-templates',
    'migration.run',
    'Plan a migration over a set of VMs and run it: who is blocked is named, the others go',
    z.object({
      template: RefText.optional(),
      toType: RefText.optional(),
      move: z.boolean().optional(),
      vmIds: z.array(Id).max(1000),
      concurrency: Positive.max(100),
      notHost: Name.optional(),
      maxFailures: Positive.max(1000).optional(),
    }),
    z.object({ total: Count, succeeded: Count, results: z.array(RunResult) }),
  ),
} as const;
