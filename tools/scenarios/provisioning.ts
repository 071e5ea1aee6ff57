import { runTable } from './claim.ts';
import { Lab } from './provisioning/lab.ts';
import { claims } from './provisioning/table.ts';
import type { Recorder } from './scenario.ts';

/** What provisioning promises of real VMs, one claim a line: each looked at from outside while VMs that others share live on. */
export const provisioning = (recorder: Recorder): Promise<void> =>
  runTable({ group: 'provisioning', claims, open: Lab.open, ground: (lab) => lab, close: (lab) => lab.close() }, recorder);
