import { startPostgres } from '../../../../infra/postgres/launcher.ts';

export const start = async () => {
  const { connectionString, version, pid, stop } = await startPostgres();
  return { info: { connectionString, version, pid }, stop };
};
