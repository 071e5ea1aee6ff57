export * from './commands.ts';
export * from './events.ts';
export * from './shapes.ts';
export * from './tasks.ts';
