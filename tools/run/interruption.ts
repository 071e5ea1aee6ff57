import { ownUserNamespace } from '../../infra/network/user-namespace.ts';

/** Resolves at a signal, or when nobody reads what we say any more; in a user namespace also when the process outside that waits for us is gone. */
export const interruption = (): Promise<'interrupted'> =>
  new Promise((resolve) => {
    const interrupted = (): void => resolve('interrupted');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupted);
    for (const stream of [process.stdout, process.stderr]) stream.on('error', interrupted);
    if (ownUserNamespace()) process.on('disconnect', interrupted);
  });
