import { readFileSync } from 'node:fs';
import path from 'node:path';
import { settles, type Claim } from '../claim.ts';
import type { Lab } from './lab.ts';

/** Rows of any table of the database, logs, bus and read models, that have this text in them. */
const rowsWith = async (lab: Lab, text: string): Promise<string[]> => {
  const { rows: tables } = await lab.db.query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const { rowCount } = await lab.db.query(`select 1 from ${name} t where position($1 in t::text) > 0`, [text]);
    if (rowCount) found.push(`${rowCount} in ${name}`);
  }
  return found;
};

export const firstBootClaims: readonly Claim[] = [
  {
    name: 'first boot: what the guest is to know is on its seed and nowhere else, and the seed goes with its first life',
    see: async (lab) => {
      const secret = `passphrase-of-${lab.run.id}`;
      const seed = { userData: `#cloud-config\nchpasswd: { list: "root:${secret}" }\n` };
      const { vmId, end } = await lab.create('tiny', { name: 'seeded', seed });
      lab.share('seeded', vmId);
      const file = (name: string): boolean => readFileSync(path.join(lab.run.dir, 'shared-pool', name)).includes(secret);
      const disks = async (): Promise<string[]> => (await lab.vm(vmId)).topology.disks.map((d) => d.id);
      const first = { disks: ['root', 'chrysalis.seed'], files: 2, filesWithIt: 1, rowsWithIt: [] };
      const look = async () => {
        const files = lab.outside.disks({ vmId });
        return {
          disks: await disks(),
          files: files.length,
          filesWithIt: files.filter(file).length,
          rowsWithIt: await rowsWith(lab, secret),
        };
      };
      const born = await settles(first, look);
      await lab.act(vmId, 'stop', { force: true, timeoutMs: 1_000 });
      await lab.act(vmId, 'start');
      const second = { disks: ['root'], files: 1, filesWithIt: 0, rowsWithIt: [] };
      const later = await settles(second, look);
      return {
        vm: await lab.vm(vmId),
        expected: { ended: 'succeeded', first, second },
        observed: { ended: end.state, first: born.observed, second: later.observed },
      };
    },
  },
];
