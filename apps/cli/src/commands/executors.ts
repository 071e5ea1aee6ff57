import type { Command } from 'commander';
import { examples, listCommand } from '../command.ts';
import { age } from '../show/output.ts';

/** Rank 0 is good standing; above it, awards failed not long ago, and others are preferred until it has come back. */
export const executorCommands = (workflow: Command): void => {
  const command = listCommand(workflow.command('executors').description('who can run which tasks, and who bids with what rank'), {
    path: '/v1/executors',
    filters: { kind: 'that run this kind of task', health: 'up or lost', group: 'of this group, for example agent-gateway' },
    empty: 'No executors: no host agent has connected, and no service has told of itself.',
    columns: {
      executor: (e) => e['executor'],
      health: (e) => e['health'],
      rank: (e) => (e['rank'] === 0 ? '0' : `${e['rank']} until ${e['rankUntil']}`),
      capacity: (e) => e['capacity'],
      driver: (e) => [e.labels['driver'] ?? []].flat().join(','),
      place: (e) => [e.labels['place'] ?? []].flat().join(','),
      kinds: (e) => e['kinds'].length,
      heard: (e) => age(e['lastWord']),
    },
  });
  examples(command, 'workflow executors --kind host.build-image', 'workflow executors --health lost -o json');
};
