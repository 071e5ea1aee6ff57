import type { FromHostAgent, HostFacts, InputOf, OutputOf, TaskContract } from '@chrysalis/contracts';
import type { HypervisorDriver } from '@chrysalis/hypervisor';
import type { HostAgentConfig } from '../config.ts';
import type { ConsoleHistory } from '../console/history.ts';
import type { VmState } from '../durable/vm-state.ts';
import type { VmStates } from '../durable/vm-states.ts';
import type { Handler, OnVm, TaskRun } from '../execution/handler.ts';
import type { Guests } from '../guests/guests.ts';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import { TaskFailure } from '../execution/task-failure.ts';
import type { SourceMoves } from '../move/source.ts';
import type { TargetMoves } from '../move/target.ts';
import type { Turn } from '../execution/turns.ts';

/** What the handlers of a host agent work with. */
export type HandlerContext = {
  readonly config: HostAgentConfig;
  readonly driver: HypervisorDriver;
  readonly states: VmStates;
  readonly source: SourceMoves;
  readonly target: TargetMoves;
  readonly history: ConsoleHistory;
  readonly guests: Guests;
  readonly facts: () => Promise<HostFacts>;
  readonly peerAddress: () => string;
  readonly tell: (frame: FromHostAgent) => void;
  readonly now: () => number;
  readonly log: Log;
};
export type Admit = (state: VmState | undefined, input: OnVm) => void;

export const handler = <C extends TaskContract>(
  contract: C,
  admit: Admit,
  run: (input: InputOf<C>, run: TaskRun) => Promise<OutputOf<C>>,
  turn: Turn = 'whole',
): Handler => ({ contract, admit, turn, run: run as Handler['run'] });

/** For what is done to a running VM: this host must be the one that runs it, at an epoch that the command may carry. */
export const asRunner: Admit = (state, { vmId, epoch }) => {
  if (!state || state.role === 'none') throw new TaskFailure('host.vm_unknown', `${vmId} is not on this host`);
  if (state.role === 'fenced') throw stale(state, epoch, 'was given away from here');
  if (state.role === 'incoming') throw new TaskFailure('host.vm_incoming', `${vmId} is not switched over to this host yet`);
  notBelow(state, { vmId, epoch });
  if (epoch > state.epoch)
    throw new TaskFailure('host.epoch_ahead', `epoch ${epoch} is above the ${state.epoch} of this host`, false, { epoch: state.epoch });
};

/** For what may be asked in any role. */
export const notBelow: Admit = (state, { epoch }) => {
  if (state && epoch < state.floor) throw stale(state, epoch, 'is past that epoch');
};

/** Not in the middle of a move: there the other end may depend on what is here. */
export const notInMove = ({ vmId, move }: VmState): void => {
  const moving =
    move?.side === 'source'
      ? move.phase === 'transferring' || move.phase === 'fenced'
      : move?.phase === 'preparing' || move?.phase === 'waiting';
  if (moving) throw new TaskFailure('host.vm_in_move', `${vmId} is in move ${move!.moveId}`, true);
};

export const stale = (state: VmState, epoch: number, why: string): TaskFailure =>
  new TaskFailure('host.epoch_stale', `epoch ${epoch}: ${state.vmId} ${why}`, false, { epoch: state.epoch, role: state.role });

/** What is left until the task's deadline, less a second for the report; at least one. */
export const timeLeft = ({ deadlineAt }: TaskRun, now: number): number => Math.max(1_000, deadlineAt - now - 1_000);
