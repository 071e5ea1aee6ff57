import { auditClaims } from './audits.ts';
import type { Claim } from '../claim.ts';
import { addressClaims } from './addresses.ts';
import { consoleClaims } from './consoles.ts';
import { deletionClaims } from './deletions.ts';
import { endingClaims } from './endings.ts';
import { firstBootClaims } from './first-boot.ts';
import { imageClaims } from './images.ts';
import { killClaims } from './kills.ts';
import { lifecycleClaims } from './lifecycle.ts';
import { networkClaims } from './networks.ts';
import { nicClaims } from './nics.ts';
import { copyClaims } from './copies.ts';
import { poolClaims } from './pools.ts';
import { volumeClaims } from './volumes.ts';

/** In this order: what comes later takes the VMs as they were left, and the last one counts what is there when all are gone. */
export const claims: readonly Claim[] = [
  ...imageClaims,
  ...firstBootClaims,
  ...lifecycleClaims,
  ...endingClaims,
  ...killClaims,
  ...volumeClaims,
  ...networkClaims,
  ...nicClaims,
  ...addressClaims,
  ...copyClaims,
  ...poolClaims,
  ...consoleClaims,
  ...auditClaims,
  ...deletionClaims,
];
