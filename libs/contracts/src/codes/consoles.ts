import type { CodeEntries } from './entry.ts';

/** Consoles and screens of VMs. What has no status is how a session ended, as it is told over its connection and in the log. */
export const consolesCodes = {
  'console.upgrade_required': {
    status: 426,
    title: 'A console speaks WebSocket',
    next: 'chrysalis vm console VM, or connect with `Upgrade: websocket`',
  },
  'console.no_host': {
    status: 409,
    title: 'The VM is on no host yet',
    next: 'wait until it has been started: chrysalis vm get {vmId}',
  },
  'console.host_away': {
    status: 503,
    title: 'The agent of the VM’s host is not connected here',
    next: 'see whether it is: chrysalis host list; where it is, try again',
  },
  'console.agent_too_old': {
    status: 409,
    title: 'The agent of the VM’s host is of before consoles',
    next: 'start a newer agent on that host; the VM runs on meanwhile',
  },
  'console.not_here': {
    status: 409,
    title: 'The VM is on its way between hosts',
    next: 'try again in a moment',
  },
  'console.has_writer': {
    status: 409,
    title: 'Somebody else types on this console',
    next: 'read along with --read-only, or take their place with --force: they are told, and read on',
  },
  'console.too_many': {
    status: 429,
    title: 'The host has as many consoles open as it may',
    next: 'close some, and try again',
  },
  'console.failed': { status: 409, title: 'The host could not do it', next: 'the message has the host’s own words' },
  'console.no_answer': { status: 503, title: 'The host did not answer in time', next: 'try again' },
  'console.flooding': { title: 'More was typed than the guest had taken', next: 'send what is typed as it is taken' },
  'console.moved': { title: 'The VM went to another host', next: 'open its console again: it is where the VM is' },
  'console.over': { title: 'The VM is no more', next: 'nothing is left to do' },
  'console.token_over': { title: 'The token that it was opened with has expired', next: 'open it again with a new one' },
  'console.left': { title: 'Whoever had it open closed it', next: 'nothing is left to do' },
  'console.gateway_lost': { title: 'The gateway ended while it was open', next: 'open it again' },
} as const satisfies CodeEntries;
