export * from './decider.ts';
export * from './faulty-bus.ts';
export * from './kafka.ts';
export * from './postgres.ts';
export * from './qemu.ts';
export * from './workflow-harness.ts';
export * from './read-all.ts';
