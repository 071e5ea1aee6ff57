import { jars } from '../../infra/kafka/jars.ts';
import { ensureAgentPackage } from '../../infra/guest/agent-package.ts';
import { ensureGuestImage, type TrustedKey } from '../../infra/guest/image.ts';
import { sweepFabrics } from '../../infra/network/fabric.ts';
import { inUserNamespace, mayMakeNamespaces, ownUserNamespace } from '../../infra/network/user-namespace.ts';
import { fabricsDir } from './hosts.ts';
import { cacheDir } from './platform.ts';

export type Needs = {
  readonly trustedKeys: readonly TrustedKey[];
  readonly distributed: boolean;
  readonly say: (text: string) => void;
};

/**
 * Returns nothing where this process may make network namespaces. Where it may not, the same command runs again in a user namespace (the
 * caller knows that it can have one), and its exit code is the answer; what has to be fetched is fetched before, since nothing leads out of there.
 */
export const unlessInUserNamespace = async (
  { trustedKeys, distributed, say }: Needs,
  started: (ended: Promise<void>) => void = () => undefined,
): Promise<number | undefined> => {
  if (mayMakeNamespaces() || ownUserNamespace()) return undefined;
  if (distributed && process.env['KAFKA_BROKERS'])
    throw new Error('KAFKA_BROKERS cannot be reached from the user namespace that a demo without root runs in: unset it, or run as root');
  say('no root: the guest image and migration agent first, then all of it in a user namespace of its own …');
  await Promise.all([ensureGuestImage({ cacheDir, trustedKeys }), ensureAgentPackage({ cacheDir }), distributed ? jars() : undefined]);
  await sweepFabrics(fabricsDir); // from inside, nobody sees into what another run left
  const running = inUserNamespace();
  const ended = running.then(async () => void (await sweepFabrics(fabricsDir)));
  started(ended);
  await ended;
  return running;
};
