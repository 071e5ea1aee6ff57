import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';

/** Of the read models alone, whatever schema they stand in: the live ones' or a rebuild's. */
export const migrations = migrationsIn(path.join(import.meta.dirname, 'migrations'));
