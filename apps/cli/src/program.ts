import type { KindNoun } from '@chrysalis/contracts';
import { Command, Option } from 'commander';
import { addressCommands } from './commands/addresses.ts';
import { catalogueCommands } from './commands/catalogue.ts';
import { eventCommands } from './commands/events.ts';
import { vmCommands } from './commands/fleet.ts';
import { grantCommands } from './commands/grants.ts';
import { hostCommands } from './commands/hosts.ts';
import { migrationCommands } from './commands/migrations.ts';
import { poolCommands } from './commands/pools.ts';
import { relayCommands } from './commands/relay.ts';
import { networkCommands } from './commands/networks.ts';
import { volumeCommands } from './commands/volumes.ts';
import { versionCommand } from './commands/version.ts';
import { operationCommands, workflowCommands } from './commands/workflows.ts';
import { completion } from './completion.ts';
import { exitHelp, exits } from './exit.ts';
import { formats } from './show/output.ts';

/** The noun of each kind of virtual resource. */
const kindCommands: Readonly<Record<KindNoun, (program: Command) => void>> = {
  volume: volumeCommands,
  network: networkCommands,
  address: addressCommands,
};

const guide = `
A first walk:
  $ chrysalis host list                                             # what there is to run on
  $ chrysalis vm create web --type small --image linux -w           # a VM, and wait until it runs
  $ chrysalis grant create look-in --vm web                         # let an agent look into it, and change it
  $ chrysalis options query --vm web --grant look-in                # where can it go, and why not elsewhere
  $ chrysalis migrate --vm web --to large --grant look-in --dry-run # every step, before anything is touched
  $ chrysalis migrate --vm web --to large --grant look-in --wait    # morph and move it while it runs
  $ chrysalis migration list                                        # what was done

What the walk needs is there after: npm run up. Elsewhere first: type publish, image register, and the administrator's key for grant create.
The server is --server, or CHRYSALIS_SERVER, or what runs here (.chrysalis/current.json); the token likewise.
Data goes to stdout, everything else to stderr.

${exitHelp}`;

export const buildProgram = (): Command => {
  const program = new Command('chrysalis')
    .description('Morphs and migrates running virtual machines between unlike hosts, without ending them.')
    .option('-s, --server <url>', 'the admin API')
    .option('--token <token>', 'who you are')
    .addOption(new Option('-o, --output <format>', 'how data is written').choices([...formats]).default('table'))
    .option('-q, --quiet', 'nothing but data and errors')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError('(--help shows how)')
    .addHelpText('after', guide);
  for (const add of [
    vmCommands,
    ...Object.values(kindCommands),
    hostCommands,
    poolCommands,
    catalogueCommands,
    grantCommands,
    migrationCommands,
    workflowCommands,
    operationCommands,
    eventCommands,
    relayCommands,
    versionCommand,
  ])
    add(program);
  program
    .command('completion')
    .argument('<shell>', 'bash, zsh or fish')
    .description('a completion script: source <(chrysalis completion bash)')
    .action((shell: string) => void process.stdout.write(`${completion(program, shell)}\n`));
  program
    .helpCommand(false)
    .command('help')
    .argument('[command...]', 'e.g. vm create')
    .description('help on a command, however deep')
    .action((names: string[]) => helpOn(program, names));
  return throwing(program);
};

const helpOn = (program: Command, names: readonly string[]): void => {
  let at = program;
  for (const name of names) {
    const next = at.commands.find((c) => c.name() === name || c.aliases().includes(name));
    if (!next) return at.error(`error: there is no command ${name}`, { code: 'commander.unknownCommand', exitCode: exits.usage });
    at = next;
  }
  at.help();
};

/** Faults of use are thrown, so that there is one place where the command ends. */
const throwing = (command: Command): Command => {
  command.exitOverride((error) => {
    throw error.exitCode === 0 ? error : Object.assign(error, { exitCode: exits.usage });
  });
  command.commands.forEach(throwing);
  return command;
};
