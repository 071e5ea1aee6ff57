import pg from 'pg';
import { configFromEnvironment } from '@chrysalis/service-kit';
import { READ_SCHEMA } from './main.ts';
import { rebuild } from './rebuild.ts';

/** `node --import ./tools/node/register.mjs apps/projector/src/rebuild-command.ts`: the report is one JSON line on stdout. */
const { databaseUrl } = configFromEnvironment();
const pool = new pg.Pool({ connectionString: databaseUrl, max: 4, application_name: 'chrysalis-projector-rebuild' });
try {
  process.stdout.write(`${JSON.stringify(await rebuild({ pool, databaseUrl, schema: READ_SCHEMA }))}\n`);
} finally {
  await pool.end();
}
