export * from './add-agent.ts';
export * from './agent-channel.ts';
export * from './qga-characterise.ts';
export * from './qga.ts';
