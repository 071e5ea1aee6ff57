export { VOLUME_CREATION_UNDONE } from './create.ts';
export { volumeDecider, type VolumeCommand } from './decider.ts';
export { hasFile, type KnownVolume, type VolumeRejection } from './volume.ts';
export * from './attach-workflows.ts';
export * from './workflows.ts';
