import type { CodeEntries } from './entry.ts';

/** What the migration agent in a guest, the host that speaks with it, or QEMU's own guest agent says no with. They reach the API as causes. */
export const guestsCodes = {
  'guest.agent_absent': { title: 'No migration agent is in the guest', next: 'ask for the options with a grant: that adds the agent' },
  'guest.agent_away': {
    title: 'The migration agent in the guest does not answer',
    next: 'ask for the options with a grant: that adds the agent anew',
  },
  'guest.protocol_unsupported': {
    title: 'Host and guest have no protocol version in common',
    next: 'add the agent anew, from a package of this version',
  },
  'guest.unreachable': {
    title: 'There is no connection to the agent',
    next: 'see whether the guest runs; ask for the options with a grant to add the agent anew',
  },
  'guest.timeout': { title: 'The guest gave no result within the command’s time', next: 'see what the guest is busy with, and try again' },
  'guest.agent_restarted': {
    title: 'Another agent process answers, and the command may not be repeated',
    next: 'see what the guest has, and decide: chrysalis workflow retry-from or mark-done',
  },
  'guest.protocol_violation': { title: 'The guest sent what no agent sends', next: 'see what runs behind the agent’s port in this guest' },
  'guest.command_unknown': { title: 'Not a command of this version', next: 'add the agent anew, from a package of this version' },
  'guest.input_invalid': { title: 'The input is not one of this command', next: 'correct the step' },
  'guest.output_invalid': {
    title: 'What the guest answered is not what this command answers',
    next: 'add the agent anew, from a package of this version',
  },
  'guest.idempotency_conflict': { title: 'This id was used for another command', next: 'nothing was done: start the move again' },
  'guest.result_forgotten': {
    title: 'The command was executed; its result is no longer kept',
    next: 'see what the guest has, and decide: chrysalis workflow retry-from or mark-done',
  },
  'guest.busy': { title: 'Too much at once is asked of the guest', next: 'nothing: it is tried again' },
  'guest.cancelled': { title: 'The host cancelled the command', next: 'nothing is left to do' },
  'guest.shutting_down': { title: 'The agent is ending', next: 'add the agent anew if it is still needed' },
  'guest.cpus_not_online': {
    title: 'Not all CPUs came online in the guest',
    next: 'see the guest’s kernel log; `detail` says what is there',
  },
  'guest.cpus_not_offline': {
    title: 'Not all CPUs went offline in the guest',
    next: 'see what is bound to them in the guest; `detail` says what is there',
  },
  'guest.memory_not_online': {
    title: 'Not all memory came online in the guest',
    next: 'see the guest’s kernel log; `detail` says what is there',
  },
  'guest.disk_unknown': { title: 'The guest has no such disk', next: 'correct the step: `detail` names the disks there are' },
  'guest.filesystem_unsupported': {
    title: 'No file system that can be grown is on the disk',
    next: 'grow it by a script of your own, or leave the step out',
  },
  'guest.filesystem_not_grown': { title: 'The file system did not grow', next: 'read what the tool said, and grow it in the guest' },
  'guest.script_failed': {
    title: 'The script ended with an exit code that is not fine',
    next: 'read its output in `detail`; if the code is fine, say so in the step',
  },
  'guest.script_timeout': { title: 'The script did not end in time and was killed', next: 'give it more time, or less to do' },
  'guest.script_not_started': { title: 'The script could not be run', next: 'see that its interpreter is in the guest' },
  'guest.not_delivered': {
    title: 'The guest does not have what was expected',
    next: '`detail.differences` names each: compare them with the template',
  },
  'guest.failed': { title: 'The agent in the guest failed', next: 'read its message; if it stays, see the guest’s journal' },
  'qga.disabled': { title: 'QEMU’s guest agent does not offer this command', next: 'allow it in the guest’s configuration of qemu-ga' },
  'qga.exec_failed': { title: 'A command in the guest failed', next: 'read what it said, and mend it in the guest' },
  'qga.nonsense': { title: 'What came is not an answer of QEMU’s guest agent', next: 'see what runs behind that port in the guest' },
  'qga.refused': {
    title: 'QEMU’s guest agent refused the command',
    next: 'read its words; see that the guest has room and qemu-ga may write',
  },
  'qga.timeout': { title: 'QEMU’s guest agent does not answer', next: 'see whether qemu-ga runs in the guest' },
  'qga.unreachable': { title: 'The connection to QEMU’s guest agent is closed', next: 'see whether the VM and qemu-ga run' },
} as const satisfies CodeEntries;
