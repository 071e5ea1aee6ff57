import { readFileSync } from 'node:fs';
import { faultText, GrantClaims } from '@chrysalis/contracts';
import type { Command } from 'commander';
import type { JWK } from 'jose';
import { changing, collect, duration, examples, listCommand, number, readText, vmOf, type Run } from '../command.ts';
import { runningHere, type Current } from '../context.ts';
import { UsageError } from '../errors.ts';
import { print } from '../show/output.ts';

export const grantCommands = (program: Command): void => {
  const grant = program.command('grant').description("tenant administrators' permissions to add agents");
  listCommand(grant.command('list').alias('ls').description('the grants'), {
    path: '/v1/grants',
    empty: 'No grants.',
    columns: {
      grant: (g) => g['grantId'],
      tenant: (g) => g['tenant'],
      state: (g) => (g['state'] === 'active' && g['claims'].exp * 1000 < Date.now() ? 'expired' : g['state']),
      vms: (g) => g['claims'].vms.length,
      used: (g) => `${g['used']} of ${g['uses']}`,
      until: (g) => new Date(g['claims'].exp * 1000).toISOString(),
      actions: (g) => g['claims'].actions.join(','),
    },
  });
  examples(
    changing(
      grant
        .command('create')
        .description('sign a grant with a tenant administrator’s key, and register it')
        .argument('<grant>', 'what it is to be called')
        .option('--vm <vm>', 'id or name; more than once, or separated by commas', collect)
        .option('--package <digest>', 'a package that may be deployed; unless told, the migration agent of what runs here', collect)
        .option('--action <action>', 'what may be done; all unless told', collect)
        .option('--uses <n>', 'so often', number, 1_000)
        .option('--for <time>', 'how long it holds', duration, 3_600_000)
        .option('--key <file>', 'the private key, an Ed25519 JWK with its `kid`; unless told, that of what runs here'),
      async (run) => {
        const jws = await signed(run);
        const answer = await run.client.post('/v1/grants', { body: { jws } });
        await print(run.format, answer, () => `registered ${answer.grantId}`);
      },
    ),
    'grant create look-in --vm web',
    'grant create look-in --vm web,db --action characterise --for 10m --key admin.jwk --package sha256:…',
  );
  registerCommand(grant);
  revokeCommand(grant);
};

const registerCommand = (grant: Command): void => {
  examples(
    changing(
      grant
        .command('register')
        .description('register a grant signed by a tenant administrator')
        .argument('[jws]', 'the signed grant')
        .option('-f, --file <file>', 'read it from a file, - for stdin'),
      async ({ client, format, args, options }) => {
        const jws = args[0] ?? (options['file'] ? readText(options['file']).trim() : undefined);
        if (!jws) throw new UsageError('give the grant, or --file');
        const answer = await client.post('/v1/grants', { body: { jws } });
        await print(format, answer, () => `registered ${answer.grantId}`);
      },
    ),
    'grant register --file grant.jws',
  );
};

const revokeCommand = (grant: Command): void => {
  examples(
    changing(
      grant
        .command('revoke')
        .argument('<grant>')
        .description('take it back: what it allowed and has not begun is refused, what may have begun is told to stop')
        .requiredOption('--reason <text>', 'why; kept in its history'),
      async ({ client, format, args, options }) => {
        const answer = await client.delete('/v1/grants/{id}', { path: { id: args[0]! }, body: { reason: options['reason'] } });
        await print(format, answer, () => `revoked ${answer.grantId}`);
      },
    ),
    'grant revoke look-in --reason "the job is done"',
  );
};

const signed = async ({ client, args, options }: Run): Promise<string> => {
  const named: string[] = options['vm'] ?? [];
  if (named.length === 0) throw new UsageError('name at least one VM with --vm');
  const here = runningHere(options);
  const { kid, ...jwk } = keyOf(options['key'], here);
  const packages: string[] = options['package'] ?? (here?.grants ? [here.grants.package] : []);
  const now = Math.floor(Date.now() / 1000);
  const vms = await Promise.all(named.map((v) => vmOf(client, v)));
  const claims = GrantClaims.safeParse({
    jti: args[0],
    iss: vms[0]!['tenant'],
    iat: now,
    exp: now + Math.ceil(options['for'] / 1000),
    vms: vms.map((v) => v['vmId']),
    packages,
    uses: options['uses'],
    actions: options['action'] ?? GrantClaims.shape.actions.element.options,
  });
  if (!claims.success) throw new UsageError(faultText(claims.error));
  const { importJWK, SignJWT } = await import('jose');
  const key = await importJWK(jwk, 'EdDSA').catch((error: Error) => {
    throw new UsageError(`no Ed25519 private key: ${error.message}`);
  });
  return new SignJWT({ ...claims.data }).setProtectedHeader({ alg: 'EdDSA', kid }).sign(key);
};

/** Given, or that of what runs here: then the runner says which key its guests trust. */
const keyOf = (file: string | undefined, here: Current | undefined): JWK & { kid: string } => {
  if (file === undefined && !here?.grants)
    throw new UsageError('no key is known here\nnext: give the tenant administrator’s private key with --key FILE');
  const text = file === undefined ? readFileSync(here!.grants!.key, 'utf8') : readText(file);
  try {
    const jwk = JSON.parse(text) as JWK;
    const kid: unknown = file === undefined ? here!.grants!.kid : jwk.kid;
    if (typeof kid === 'string') return { ...jwk, kid };
  } catch {
    // said below
  }
  throw new UsageError(`${file ?? here!.grants!.key}: not a private key as JWK with its \`kid\``);
};
