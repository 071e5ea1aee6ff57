import type { CodeEntries } from './entry.ts';

/** Why an agent's connection, its tasks or its bids are refused. What has no status goes over the agent's connection, or is a task's cause. */
export const agentsCodes = {
  'agent.too_many_connections': {
    status: 503,
    title: 'Too many connections have not said hello yet',
    next: 'connect again after a backoff',
  },
  'agent.upgrade_required': {
    status: 426,
    title: 'Agents speak WebSocket here',
    next: 'connect with `Upgrade: websocket`; the API is at another address',
  },
  'agent.flooding': { title: 'Too many bids and heartbeats', next: 'connect again, and send fewer' },
  'agent.foreign_executor': { title: 'The frame speaks for another executor', next: 'send bids and heartbeats of your own executor alone' },
  'agent.foreign_host': {
    title: 'The token or the facts are of another host',
    next: 'start the agent with the token and the name of its own host',
  },
  'agent.foreign_task': { title: 'The task was not given to this host', next: 'report only what was given to this host' },
  'agent.frame_malformed': { title: 'The frame could not be read', next: 'send text frames of the protocol; see agent-protocol.md' },
  'agent.frame_too_large': { title: 'The frame is larger than the limit', next: 'send smaller frames' },
  'agent.frame_unexpected': {
    title: 'The frame is of another protocol version',
    next: 'agree on the version that has it, or leave it out',
  },
  'agent.hello_missing': { title: 'No hello came in time', next: 'say hello at once after connecting' },
  'agent.hello_repeated': { title: 'Hello was said already', next: 'say it once a connection' },
  'agent.identity_missing': { title: 'The agent does not say who it is', next: 'start an agent of this version, with its data directory' },
  'agent.identity_conflict': {
    title: 'Another agent is the one of this host',
    next: 'start the right one; if it is lost for good: chrysalis host release-agent',
  },
  'agent.identity_copied': {
    title: 'This data directory is a copy, and the original has gone on',
    next: 'end the copy; if the original is lost for good: chrysalis host release-agent',
  },
  'agent.identity_released': { title: 'The host was taken from this agent', next: 'start an agent with a new data directory' },
  'agent.identity_invalid': {
    title: 'The agent’s signature is not by the key that it names',
    next: 'see who else answers under this name; start the agent again with its own data directory',
  },
  'agent.protocol_unsupported': {
    title: 'Agent and gateway have no protocol version in common',
    next: 'bring both to versions that have one in common',
  },
  'agent.replaced': { title: 'Another connection took this session', next: 'see whether a second agent runs for this host' },
  'agent.token_invalid': {
    title: 'Not a valid token of a host agent',
    next: 'give the agent a token with the role host-agent for its host',
  },
  'gateway.fault': { title: 'The gateway failed at this frame', next: 'connect again; if it stays, see the gateway’s log' },
  'host-agent.unknown': { status: 404, title: 'No agent has said that it is the one of this host', next: 'chrysalis host list' },
  'host-agent.connected': {
    status: 409,
    title: 'The agent of this host is there',
    next: 'stop it, and wait until the host’s agent is away',
  },
  'executor.unknown': { title: 'There is no such executor', next: 'chrysalis workflow executors shows those there are' },
  'executor.lost': { title: 'The executor does not answer', next: 'bring its agent back, or route the task to another' },
  'executor.foreign': { title: 'The executor is of another group', next: 'let a bid come from the group that the executor is of' },
  'executor.kind_unfit': { title: 'The executor does not take this kind of task', next: 'route the task to one that does' },
  'executor.kind_unknown': {
    title: 'Nobody there executes this kind of task',
    next: 'bring the executor to a version that has it, or correct the kind',
  },
  'executor.labels_unfit': {
    title: 'The executor lacks labels that the task asks for',
    next: 'ask for labels that some executor has: chrysalis workflow executors',
  },
  'executor.input_invalid': { title: 'The task’s input is not one of its kind', next: 'correct the input in the definition' },
  'executor.fault': {
    title: 'The executor failed in a way that nobody foresaw',
    next: 'try again; if it stays, see the log of the service that executes it',
  },
  'task.award_lapsed': { title: 'The task came after it was to begin', next: 'nothing: it is awarded again' },
  'task.cancelled': { title: 'The task was cancelled', next: 'nothing is left to do' },
  'task.deadline_passed': {
    title: 'The task came to its executor after its deadline',
    next: 'see what held it up; start it again with a later deadline',
  },
} as const satisfies CodeEntries;
