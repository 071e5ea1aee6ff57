// Which VMs a plan is made for, where they are not named: by their labels, by an expression, or by both.
import { Environment } from '@marcbachmann/cel-js';
import { memoryMiBOf, refText, vcpusOf, type VmSelection } from '@chrysalis/contracts';
import { celOptions, evaluate, firstLine, MOST_CEL_CHARACTERS, refusalsIn } from '@chrysalis/workflow-core';
import type { KnownVm } from './known.ts';

/** Why an expression selects nothing: it is none, or of this VM it has no answer. */
type FilterFault = Readonly<{ code: 'plan.filter_invalid'; message: string; vmId?: string }>;
type Selected = Readonly<{ ok: true; vmIds: readonly string[] }> | Readonly<{ ok: false; fault: FilterFault }>;
type Labelled = Pick<KnownVm, 'vmId' | 'name' | 'type' | 'hostId' | 'state' | 'topology' | 'labels'>;

const environment = new Environment(celOptions).registerVariable('vm', 'map');

/** What an expression sees of a VM; some forty values, so that one macro over them is all that it can take. */
const seen = ({ vmId, name = '', type, hostId, state, topology, labels = {} }: Labelled) => ({
  ...{ id: vmId, name, type: refText(type), host: hostId, state, labels },
  ...{ vcpus: BigInt(vcpusOf(topology)), memoryMiB: BigInt(memoryMiBOf(topology)) },
});

/**
 * In the order of their ids, so that the same is the same. An expression is CEL with the bounds of a workflow's conditions: no regular
 * expressions, no macro within a macro, so many nodes. One that has no answer for a VM (a label that it lacks) selects nothing at all:
 * what a set is made of is not guessed.
 */
export const selected = (vms: readonly Labelled[], { labels = {}, filter }: VmSelection): Selected => {
  const wanted = Object.entries(labels);
  const labelled = vms.filter((vm) => wanted.every(([key, value]) => vm.labels?.[key] === value));
  const fits = filter === undefined ? (): boolean => true : parse(filter);
  if (typeof fits === 'string') return { ok: false, fault: { code: 'plan.filter_invalid', message: fits } };
  const vmIds: string[] = [];
  for (const vm of labelled) {
    const verdict = fits(vm);
    if (typeof verdict === 'string') return refused(vm.vmId, verdict);
    if (verdict) vmIds.push(vm.vmId);
  }
  return { ok: true, vmIds: vmIds.sort() };
};

const refused = (vmId: string, why: string): Selected => ({
  ok: false,
  fault: { code: 'plan.filter_invalid', vmId, message: `of ${vmId}: ${why}` },
});

/** Of a VM whether it fits, or why that cannot be said; a text where it is no expression. */
const parse = (source: string): string | ((vm: Labelled) => boolean | string) => {
  if (source.length > MOST_CEL_CHARACTERS) return `longer than ${MOST_CEL_CHARACTERS} characters`;
  try {
    const program = environment.parse(source);
    const checked = program.check();
    if (!checked.valid) throw checked.error ?? new Error('does not type-check');
    if (checked.type !== 'bool' && checked.type !== 'dyn') return `gives ${checked.type}, not a bool`;
    const [refusal] = refusalsIn(program.ast);
    if (refusal !== undefined) return refusal;
    return (vm) => {
      const verdict = evaluate(program, { vm: seen(vm) });
      return verdict.ok ? verdict.value : verdict.message;
    };
  } catch (error) {
    return firstLine(error);
  }
};
