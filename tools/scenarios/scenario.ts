/** The shape of one line of the scenario table; `invariants` as the verifier judged them. */
export type Scenario = {
  readonly name: string;
  readonly group: string;
  readonly driver: 'qemu' | 'simulated';
  readonly expected: unknown;
  readonly observed: unknown;
  readonly ok: boolean;
  readonly ms: number;
  readonly invariants: Readonly<Record<string, boolean>>;
};
export type Recorder = {
  readonly signal: AbortSignal;
  /** Of a group that repeats one thing. */
  readonly rounds: number;
  /** Of a group that is a table: parts of the names of those that are wanted; none: all. */
  readonly only: readonly string[];
  readonly say: (text: string) => void;
  readonly record: (scenario: Scenario) => void;
};
