import type { MigrationProgress } from '../driver.ts';

/** What `query-migrate` answers, of which a target has the status alone. */
export type MigrationInfo = {
  status?: string;
  'error-desc'?: string;
  'total-time'?: number;
  downtime?: number;
  ram?: {
    total: number;
    remaining: number;
    transferred: number;
    'dirty-pages-rate': number;
    mbps: number;
    'dirty-sync-count': number;
    'postcopy-bytes'?: number;
  };
  'socket-address'?: { type: string; host: string; port: string }[];
};

export const toProgress = ({ status = 'unknown', ram }: MigrationInfo): MigrationProgress => {
  const { total = 0, remaining = 0, transferred = 0, mbps = 0, 'dirty-pages-rate': dirtyPagesPerSecond = 0 } = ram ?? {};
  return {
    phase: status,
    bytesTotal: total,
    // Before the first pass QEMU has not counted yet and says 0.
    bytesRemaining: remaining || (transferred ? 0 : total),
    bytesTransferred: transferred,
    dirtyPagesPerSecond,
    mbps,
    at: new Date().toISOString(),
  };
};
