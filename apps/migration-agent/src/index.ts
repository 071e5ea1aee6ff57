export { detect, detectors } from './detectors.ts';
export { readFacts } from './facts.ts';
export { Guest } from './guest.ts';
export { makeHandlers } from './handlers.ts';
export { AgentServer, type Handlers } from './server.ts';
