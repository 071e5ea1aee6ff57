export { detect, detectors } from './guest/detectors.ts';
export { readFacts } from './guest/facts.ts';
export { Guest } from './guest/guest.ts';
export { makeHandlers } from './handlers.ts';
export { AgentServer, type Handlers } from './channel/server.ts';
