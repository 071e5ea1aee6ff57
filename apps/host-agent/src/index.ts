export { startHostAgent, type HostAgent } from './agent.ts';
export { HostAgentConfig, readConfig } from './config.ts';
export { createDriver } from './driver.ts';
