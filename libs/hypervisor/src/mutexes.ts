import { Mutex } from 'async-mutex';

/** A mutex a name, there only while somebody holds it or waits for it: of those of `async-mutex` none is made by name. */
export class Mutexes {
  private readonly held = new Map<string, { readonly mutex: Mutex; users: number }>();

  get size(): number {
    return this.held.size;
  }

  /** One thing at a time for a name, in the order of asking. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const entry = this.held.get(name) ?? { mutex: new Mutex(), users: 0 };
    this.held.set(name, entry);
    entry.users++;
    try {
      return await entry.mutex.runExclusive(work);
    } finally {
      if (--entry.users === 0) this.held.delete(name);
    }
  }
}
