/** One thing at a time, in the order of asking. */
export class Mutex {
  private tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work, work);
    this.tail = result.catch(() => undefined);
    return result;
  }
}

/** A mutex a name, there only while somebody holds it or waits for it. */
export class Mutexes {
  private readonly held = new Map<string, { readonly mutex: Mutex; users: number }>();

  get size(): number {
    return this.held.size;
  }

  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const entry = this.held.get(name) ?? { mutex: new Mutex(), users: 0 };
    this.held.set(name, entry);
    entry.users++;
    try {
      return await entry.mutex.run(work);
    } finally {
      if (--entry.users === 0) this.held.delete(name);
    }
  }
}
