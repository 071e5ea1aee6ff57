import path from 'node:path';
import { migrationsIn } from '@chrysalis/event-store';

// The engine without HTTP, relay and bus: for who assembles it in another way, and measures that.
export { DatabaseClock } from './clock.ts';
export { DueLoop } from './due.ts';
export { Engine } from './engine.ts';
export type { LocalKinds } from '../local/local.ts';
export const tables = migrationsIn(path.join(import.meta.dirname, '../migrations'));
