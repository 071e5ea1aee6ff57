import type { LocalContext } from '../local/local.ts';

type Wait = {
  readonly token: number;
  readonly forChild: boolean;
  readonly resolve: () => void;
  readonly interrupt: (why: string) => void;
};

/** Why a held execution goes on without what it waited for. */
class Interrupted extends Error {
  readonly code = 'workflow.cancelled';
}

/** Executions of this process that wait, by what they wait for and by the workflow that they belong to. In memory: each can be begun again. */
export class Held {
  readonly #byChild = new Map<string, Set<Wait>>();
  readonly #byParent = new Map<string, Set<Wait>>();

  /** Resolves at `settled(child)`, or after `ms`; rejects when the execution is not wanted any more, or its deadline has passed. */
  wait({ dispatch, signal }: LocalContext, { child, ms }: { readonly child?: string; readonly ms?: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const over = (then: () => void) => (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        if (child !== undefined) drop(this.#byChild, child, wait);
        drop(this.#byParent, dispatch.workflowId, wait);
        then();
      };
      const wait: Wait = {
        token: dispatch.token,
        forChild: child !== undefined,
        resolve: over(resolve),
        interrupt: (why) => over(() => reject(new Interrupted(why)))(),
      };
      const aborted = over(() => reject(signal.reason as Error));
      if (signal.aborted) return reject(signal.reason as Error);
      signal.addEventListener('abort', aborted);
      if (child !== undefined) put(this.#byChild, child, wait);
      put(this.#byParent, dispatch.workflowId, wait);
      if (ms !== undefined) timer = setTimeout(wait.resolve, ms);
    });
  }

  /** Whether somebody here waited for it. */
  settled(child: string): boolean {
    const waits = [...(this.#byChild.get(child) ?? [])];
    for (const wait of waits) wait.resolve();
    return waits.length > 0;
  }

  /** Those that wait for nothing but time go on at once; who waits for a child waits until that has ended. */
  interrupt(parent: string, wanted: ReadonlySet<number>, why: string): void {
    for (const wait of [...(this.#byParent.get(parent) ?? [])]) if (!wanted.has(wait.token) && !wait.forChild) wait.interrupt(why);
  }

  get children(): string[] {
    return [...this.#byChild.keys()];
  }
  get parents(): string[] {
    return [...this.#byParent.keys()];
  }
}

const put = (map: Map<string, Set<Wait>>, key: string, wait: Wait): void => {
  const waits = map.get(key);
  if (waits) waits.add(wait);
  else map.set(key, new Set([wait]));
};
const drop = (map: Map<string, Set<Wait>>, key: string, wait: Wait): void => {
  const waits = map.get(key);
  if (waits?.delete(wait) && waits.size === 0) map.delete(key);
};
