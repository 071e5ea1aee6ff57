export * from './audit.ts';
export * from './bus.ts';
export * from './cloud-event.ts';
export * from './consume.ts';
export * from './create-bus.ts';
export * from './gather.ts';
export * from './parking.ts';
export * from './relay.ts';
