import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/** Whether a file of this name can be made or replaced, as it stands now: asked before a run whose end would write it. */
export const mayWrite = (file: string): boolean => {
  try {
    const there = statSync(file, { throwIfNoEntry: false });
    accessSync(there ? file : path.dirname(file), constants.W_OK);
    return file !== '' && !there?.isDirectory();
  } catch {
    return false;
  }
};
