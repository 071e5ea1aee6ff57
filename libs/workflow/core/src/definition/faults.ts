import type { Coded } from '@chrysalis/contracts';
/** One thing wrong with a definition or its params. `place` is a path into the request, e.g. `tasks[3].input.host`. Codes are stable. */
export type Fault = Coded<{ readonly code: FaultCode; readonly place: string; readonly message: string }>;
export type FaultCode =
  | 'workflow.shape_invalid'
  | 'workflow.name_duplicate'
  | 'workflow.task_unknown'
  | 'workflow.reference_malformed'
  | 'workflow.param_unknown'
  | 'workflow.param_missing'
  | 'workflow.param_type'
  | 'workflow.param_undeclared'
  | 'workflow.input_too_deep'
  | 'workflow.condition_malformed'
  | 'workflow.condition_refused'
  | 'workflow.cycle'
  | 'workflow.type_mismatch'
  | 'workflow.item_outside_for_each'
  | 'workflow.for_each_malformed'
  | 'workflow.task_unreachable'
  | 'workflow.compensation_missing'
  | 'workflow.route_refused'
  | 'workflow.hedge_refused';

export type Report = (code: FaultCode, place: string, message: string) => void;
