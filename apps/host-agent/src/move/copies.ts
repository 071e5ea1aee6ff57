import { createHash } from 'node:crypto';
import type { Topology } from '@chrysalis/contracts';

/** What both ends of a move know and nobody else: of their token, so that nothing more has to be told. */
export const copySecret = (peerToken: string): string => createHash('sha256').update(`disks of ${peerToken}`).digest('hex');

/** The files that a target makes for a move. */
export const filesOf = ({ disks, uefi }: Topology, volumes: readonly string[]): { pool: string; volume: string }[] =>
  [...disks, ...(uefi ? [uefi] : [])].filter((f) => volumes.includes(f.volume)).map(({ pool, volume }) => ({ pool, volume }));
