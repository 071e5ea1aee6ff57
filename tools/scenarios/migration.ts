import { runTable } from './claim.ts';
import { MoveLab } from './migration/lab.ts';
import { claims } from './migration/table.ts';
import type { Recorder } from './scenario.ts';

/** What is promised of migrations of real VMs between hosts of unlike QEMUs, one claim a line. */
export const migration = (recorder: Recorder): Promise<void> =>
  runTable({ group: 'migration', claims, open: MoveLab.open, ground: ({ lab }) => lab, close: (lab) => lab.close() }, recorder);
