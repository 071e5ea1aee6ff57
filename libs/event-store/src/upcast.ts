type Typed = { readonly type: string; readonly data: unknown };
/** Stored events and those on a bus alike: what is around type and data stays. */
export type Upcast = <E extends Typed>(event: E) => E;

/** One step: what an event of this type becomes in the next version. The type it returns decides whether another step follows. */
export type Step = (event: Typed) => Typed;

/**
 * A registry of upcasters, by type without its version and by version. Reading applies steps until none is left, so each release
 * adds one step and never edits those before.
 */
export const upcasters = () => {
  const steps = new Map<string, Step>();
  const registry = {
    add: (type: string, version: number, step: Step) => {
      const from = `${type}.v${version}`;
      if (steps.has(from)) throw new Error(`two upcasters from ${from}`);
      steps.set(from, step);
      return registry;
    },
    upcast: <E extends Typed>(event: E): E => {
      let current = event;
      for (let step = steps.get(current.type); step; step = steps.get(current.type)) {
        const next = step(current);
        if (next.type === current.type) throw new Error(`the upcaster from ${current.type} stays where it is`);
        current = { ...current, type: next.type, data: next.data };
      }
      return current;
    },
  };
  return registry;
};
