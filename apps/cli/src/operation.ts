export type Operation = {
  readonly id: string;
  readonly kind: string;
  readonly name: string;
  readonly subject: string;
  readonly state: 'queued' | 'running' | 'succeeded' | 'undone' | 'failed' | 'stopped';
  readonly version: number;
  readonly summary: string;
  readonly phase?: string;
  readonly progress: { readonly done: number; readonly total: number; readonly unit: string };
  readonly cause?: { readonly code: string; readonly message: string };
  readonly missing?: readonly string[];
  /** Where it stands if it came to no good end; `next` are commands that take it on. */
  readonly standing?: { readonly summary: string; readonly left: readonly string[]; readonly next: readonly string[] };
  readonly startedAt?: string;
  readonly endedAt?: string;
};
