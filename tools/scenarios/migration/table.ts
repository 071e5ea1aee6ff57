import type { Claim } from '../claim.ts';
import { approvalClaims } from './approval.ts';
import { diskClaims } from './disks.ts';
import { faultClaims } from './faults.ts';
import { guestClaims } from './guests.ts';
import type { MoveLab } from './lab.ts';
import { methodClaims } from './methods.ts';
import { midMigrationClaims } from './mid-migration.ts';
import { postCopyClaims } from './post-copy.ts';
import { preCopyClaims } from './pre-copy.ts';
import { progressClaims } from './progress.ts';
import { saveClaims } from './save-and-restore.ts';
import { setClaims } from './sets.ts';
import { shapeClaims } from './shapes.ts';

/** In this order: what comes later takes the VMs as they were left. */
export const claims: readonly Claim<MoveLab>[] = [
  ...shapeClaims,
  ...midMigrationClaims,
  ...approvalClaims,
  ...faultClaims,
  ...diskClaims,
  ...guestClaims,
  ...progressClaims,
  ...setClaims,
  ...methodClaims,
  ...preCopyClaims,
  ...saveClaims,
  ...postCopyClaims,
];
