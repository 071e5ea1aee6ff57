import { jars } from '../../infra/kafka/jars.ts';
import { ensureAgentPackage } from '../../infra/guest/agent-package.ts';
import { ensureGuestImage, type TrustedKey } from '../../infra/guest/image.ts';
import { inUserNamespace, mayMakeNamespaces, NamespacesUnavailable, ownUserNamespace } from '../../infra/network/user-namespace.ts';
import { chooseNetwork } from './network.ts';
import { cacheDir } from './platform.ts';
import { atEnd, sweep } from './tool.ts';

export type Needs = {
  readonly trustedKeys: readonly TrustedKey[];
  readonly distributed: boolean;
  readonly say: (text: string) => void;
};

/** What has to be fetched, before there is no way to it. */
const parts = ({ trustedKeys, distributed }: Needs): Promise<unknown> =>
  Promise.all([ensureGuestImage({ cacheDir, trustedKeys }), ensureAgentPackage({ cacheDir }), distributed ? jars() : undefined]);

/**
 * Returns nothing where this process may make network namespaces. Where it may not, the same command runs again in a user namespace (the
 * caller knows that it can have one), and its exit code is the answer; what has to be fetched is fetched before, since nothing leads out of
 * there.
 */
export const unlessInUserNamespace = async (
  needs: Needs,
  fetched: (needs: Needs) => Promise<unknown> = parts,
): Promise<number | undefined> => {
  if (mayMakeNamespaces() || ownUserNamespace()) return undefined;
  if (needs.distributed && process.env['KAFKA_BROKERS'])
    throw new Error('KAFKA_BROKERS cannot be reached from the user namespace that this runs in without root: unset it, or run as root');
  needs.say('no root: what has to be fetched first, then all of it in a user namespace of its own …');
  await fetched(needs);
  await sweep(); // from inside, nobody sees into what another run left
  const running = inUserNamespace();
  const ended = running.then(sweep);
  atEnd(() => ended);
  await ended;
  return running;
};

/** For commands that go without nothing: returns where there may be namespaces; else the process ends as the same command did there, or with what to type. */
export const needNamespaces = async (needs: Needs): Promise<void> => {
  try {
    chooseNetwork('qemu', 'namespaces');
  } catch (error) {
    if (!(error instanceof NamespacesUnavailable)) throw error;
    console.error(error.message);
    process.exit(1);
  }
  const elsewhere = await unlessInUserNamespace(needs);
  if (elsewhere !== undefined) process.exit(elsewhere);
};
