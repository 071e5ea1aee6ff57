/** Of as many VMs of the fleet. */
export type FanoutAsk = { readonly vms: number };
/** `bareMs`: the same operations at the same limit with nothing around them. Memory is resident, in MiB; a process says when it is ready what it has then. */
export type Fanout = {
  readonly bareMs: number;
  readonly workflowMs: number;
  readonly peakMiB: number;
  readonly cpuSeconds: number;
};

export const limit = 200;
