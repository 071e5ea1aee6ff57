import { z } from 'zod';
import { task } from '../define.ts';
import { Approval, Blocker } from '../migration-templates.ts';
import { Cause, Characterisation, Count, Id, Name, Positive, RefText } from '../shapes.ts';
import { none } from './common.ts';

/**
 * What became of one VM of a run. `unneeded`: it was so already. `blocked`: see `blockers`. `not-begun`: the run stopped before it, see
 * `cause`. The others are the end of its move.
 */
export const RunResult = z.object({
  vmId: Id,
  /** Its label, where it is known. */
  name: z.string().max(255).optional(),
  state: z.enum(['succeeded', 'undone', 'failed', 'blocked', 'unneeded', 'not-begun']),
  migrationId: Id.optional(),
  toHost: Name.optional(),
  cause: Cause.optional(),
  blockers: z.array(Blocker).optional(),
});
export type RunResult = z.infer<typeof RunResult>;

/** Who is still there, in words, and why: `consumer` is as in the ledger. */
export const LeftThere = z.object({ consumer: z.string().max(255), who: z.string().max(512), why: z.string().max(1024) });
export type LeftThere = z.infer<typeof LeftThere>;

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
  /** `meanwhile`: the transfer goes on until then, and its host is told what was decided; else a move that is not approved fails by this. */
  awaitApproval: task(
    'migration-templates',
    'migration.await-approval',
    'Ask for the approval of a switch-over, and wait until somebody approves or rejects it, or until its time is up',
    z.object({ migrationId: Id, vmId: Id, moveId: Id, ...Approval.shape, meanwhile: z.boolean() }),
    z.object({ approved: z.boolean(), by: z.string().max(255).optional(), cause: Cause.optional() }),
  ),
  /**
   * What it is about: the VMs named in `vmIds`, or whoever there is as long as it goes on: all that hold on the host `hostId` (its drain),
   * or all of a version of a type (`ofType`). It waits for who is being created or deleted, or is in another move; it reports when each VM
   * has gone or cannot go, and before its deadline in any case. `since`: the generation of the host from which on what is known of it counts.
   *
   * By `template`; else made for each VM: to `toType` (in place, or with `move` on another host), or without one its own type on another
   * host. After `maxFailures` moves that did not succeed (5 unless told, and one more for each ten that did) no further one begins.
   */
  run: task(
    'migration-templates',
    'migration.run',
    'Plan a migration over a set of VMs and run it until each has gone: who is blocked is named, the others go',
    z.object({
      template: RefText.optional(),
      toType: RefText.optional(),
      move: z.boolean().optional(),
      vmIds: z.array(Id).max(1000).optional(),
      hostId: Name.optional(),
      since: Count.optional(),
      ofType: RefText.optional(),
      concurrency: Positive.max(100),
      notHost: Name.optional(),
      maxFailures: Positive.max(1000).optional(),
    }),
    /** `more`: results beyond what an output may hold; those that did not succeed come first then. */
    z.object({
      total: Count,
      succeeded: Count,
      results: z.array(RunResult),
      more: Positive.optional(),
      left: z.array(LeftThere).optional(),
    }),
  ),
} as const;
