import { globSync } from 'node:fs';
import path from 'node:path';
import { afterLog, migrationsIn, type Migration } from '@chrysalis/event-store';

const root = path.resolve(import.meta.dirname, '../..');

/** Every folder of migrations that there is, by its path from the root. */
export const folders = (): string[] =>
  globSync('{apps,libs}/*/src/**/migrations/*.sql', { cwd: root })
    .map((file) => path.dirname(file))
    .filter((folder, i, all) => all.indexOf(folder) === i)
    .toSorted();
export const absolute = (folder: string): string => path.join(root, folder);

/** Each schema with its sequence. Those of `read` come after the log's, as those of a service do: the projector is one. */
export const sequences = (): Record<string, readonly Migration[]> =>
  Object.fromEntries(
    folders()
      .filter((folder) => folder !== 'libs/event-store/src/migrations')
      .map((folder) => {
        const own = migrationsIn(absolute(folder));
        if (folder.startsWith('libs/messaging/')) return ['bus', own];
        const app = folder.split('/')[1]!;
        return [app === 'projector' ? 'read' : app.replaceAll('-', '_'), afterLog(own)];
      }),
  );
