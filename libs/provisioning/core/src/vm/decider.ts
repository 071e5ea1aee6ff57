import { unreachable, type Decider } from '@chrysalis/kernel';
import { beginChange, endChange, type BeginChange, type EndChange } from './change.ts';
import { failDeletion, recordDeleted, requestDeletion, type FailDeletion, type RecordDeleted, type RequestDeletion } from './delete.ts';
import { failAction, recordAction, requestAction, type FailAction, type RecordAction, type RequestAction } from './lifecycle.ts';
import {
  beginMove,
  changeTopology,
  changeType,
  endMove,
  switchOver,
  type BeginMove,
  type ChangeTopology,
  type ChangeType,
  type EndMove,
  type SwitchOver,
} from './move.ts';
import {
  failProvisioning,
  recordBoot,
  recordPlacement,
  requestVm,
  type FailProvisioning,
  type RecordBoot,
  type RecordPlacement,
  type RequestVm,
} from './provision.ts';
import { reconfigure, type Reconfigure } from './reconfigure.ts';
import { considerRestart, setRestartPolicy, type ConsiderRestart, type SetRestartPolicy } from './restart.ts';
import type { VmDecision } from './rejections.ts';
import { evolveVm, initialVm, type Vm, type VmEvent } from './vm.ts';

export type VmCommand =
  | RequestVm
  | RecordPlacement
  | RecordBoot
  | FailProvisioning
  | BeginMove
  | EndMove
  | SwitchOver
  | ChangeType
  | ChangeTopology
  | BeginChange
  | EndChange
  | RequestDeletion
  | RecordDeleted
  | FailDeletion
  | RequestAction
  | RecordAction
  | FailAction
  | Reconfigure
  | SetRestartPolicy
  | ConsiderRestart;

const decide = (command: VmCommand, vm: Vm): VmDecision => {
  switch (command.type) {
    case 'request':
      return requestVm(command, vm);
    case 'record-placement':
      return recordPlacement(command, vm);
    case 'record-boot':
      return recordBoot(command, vm);
    case 'fail-provisioning':
      return failProvisioning(command, vm);
    case 'begin-move':
      return beginMove(command, vm);
    case 'end-move':
      return endMove(command, vm);
    case 'switch-over':
      return switchOver(command, vm);
    case 'change-type':
      return changeType(command, vm);
    case 'change-topology':
      return changeTopology(command, vm);
    case 'begin-change':
      return beginChange(command, vm);
    case 'end-change':
      return endChange(command, vm);
    case 'request-deletion':
      return requestDeletion(command, vm);
    case 'record-deleted':
      return recordDeleted(command, vm);
    case 'fail-deletion':
      return failDeletion(command, vm);
    case 'request-action':
      return requestAction(command, vm);
    case 'record-action':
      return recordAction(command, vm);
    case 'fail-action':
      return failAction(command, vm);
    case 'reconfigure':
      return reconfigure(command, vm);
    case 'set-restart-policy':
      return setRestartPolicy(command, vm);
    case 'consider-restart':
      return considerRestart(command, vm);
    default:
      return unreachable(command);
  }
};

/** Decides on stream `vm-<uuid>`, which is the VM's id. */
export const vmDecider: Decider<VmCommand, Vm, VmEvent, VmDecision> = { initial: initialVm, decide, evolve: evolveVm };
