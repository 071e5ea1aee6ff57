import { cpus, totalmem } from 'node:os';

export type Contender = {
  readonly name: string;
  readonly version: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** One a round. */
  readonly values: readonly number[];
};

export type Target = { readonly metric: string; readonly value: number; readonly target: string; readonly ok: boolean };

export type Report = {
  readonly name: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryMiB: number;
    readonly node: string;
    readonly [fact: string]: unknown;
  };
  readonly rounds: number;
  readonly contenders: readonly Contender[];
  readonly targets: readonly Target[];
  readonly ok: boolean;
  readonly [more: string]: unknown;
};

export type BenchOptions = { readonly rounds: number; readonly progress: (text: string) => void };

export const machine = (more: Record<string, unknown> = {}): Report['machine'] => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryMiB: Math.round(totalmem() / 1024 ** 2),
  node: process.version,
  ...more,
});

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};

const rounded = (value: number): number => Number(value.toPrecision(5));

export const contender = (name: string, version: string, unit: string, values: readonly number[]): Contender => ({
  name,
  version,
  unit,
  median: rounded(median(values)),
  min: rounded(Math.min(...values)),
  max: rounded(Math.max(...values)),
  values: values.map(rounded),
});

export const target = (metric: string, value: number, comparison: '>=' | '<=', bound: number): Target => ({
  metric,
  value: rounded(value),
  target: `${comparison} ${bound}`,
  ok: comparison === '>=' ? value >= bound : value <= bound,
});

export const report = (
  name: string,
  rounds: number,
  facts: Record<string, unknown>,
  contenders: readonly Contender[],
  targets: readonly Target[],
  more: Record<string, unknown> = {},
  // eslint-disable-next-line max-params -- in the order of the report
): Report => ({
  name,
  machine: machine(facts),
  rounds,
  contenders,
  targets,
  ok: targets.every((t) => t.ok),
  ...more,
});
