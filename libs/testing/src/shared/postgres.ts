// eslint-disable-next-line @nx/enforce-module-boundaries -- the very launcher that embedded mode uses, so that tests run on it
import { startPostgres } from '../../../../infra/postgres/launcher.ts';

export const start = async () => {
  const { connectionString, version, pid, stop } = await startPostgres();
  return { info: { connectionString, version, pid }, stop };
};
