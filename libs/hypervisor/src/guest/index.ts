export * from './add-agent.ts';
export * from './agent-channel.ts';
export * from './qga-characterise.ts';
export { qgaCarry } from './qga-carry.ts';
export { qgaDisk, type GuestDisk } from './qga-disk.ts';
export { QgaError, type QgaCode } from './qga-connection.ts';
export * from './qga.ts';
