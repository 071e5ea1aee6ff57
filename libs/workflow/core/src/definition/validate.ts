import type { WorkflowDefinition, WorkflowRequest } from '@chrysalis/contracts';
import type { Fault, FaultCode } from './faults.ts';
import { compile } from './graph.ts';

/** Every fault of a definition that has the right shape. */
export const validateDefinition = (definition: WorkflowDefinition): readonly Fault[] => compile(definition).faults;

/** Every fault of a definition and the params to run it with. */
export const validateRequest = (request: Pick<WorkflowRequest, 'definition' | 'params'>): readonly Fault[] => [
  ...validateDefinition(request.definition),
  ...validateParams(request.definition, request.params),
];

export const validateParams = (definition: WorkflowDefinition, params: Readonly<Record<string, unknown>>): readonly Fault[] => {
  const faults: Fault[] = [];
  const report = (code: FaultCode, name: string, message: string): void => void faults.push({ code, place: `params.${name}`, message });
  for (const [name, { type, required = true }] of Object.entries(definition.params)) {
    const value = Object.hasOwn(params, name) ? params[name] : undefined;
    if (value === undefined) {
      if (required) report('workflow.param_missing', name, `${name} (${type}) is not given`);
    } else if (typeOf(value) !== type) report('workflow.param_type', name, `${name} is ${typeOf(value)}, not ${type}`);
  }
  for (const name of Object.keys(params))
    if (!Object.hasOwn(definition.params, name)) report('workflow.param_undeclared', name, `${name} is not a param of ${definition.name}`);
  return faults;
};

const typeOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
