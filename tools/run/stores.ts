import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A host's image store: a folder an image, `manifest.json` says which files are which digest. Links: hosts of one machine share the files. */
export const installImage = (
  runDir: string,
  image: { readonly kernel: string; readonly initrd: string; readonly digest: string },
): string => {
  const store = path.join(runDir, 'images');
  const dir = path.join(store, 'linux');
  mkdirSync(dir, { recursive: true });
  const files = { kernel: 'kernel', initrd: 'initrd' };
  symlinkSync(image.kernel, path.join(dir, files.kernel));
  symlinkSync(image.initrd, path.join(dir, files.initrd));
  writeFileSync(path.join(dir, 'manifest.json'), JSON.stringify({ digest: image.digest, files }));
  return store;
};

/** A host's package store: `<digest>.squashfs`. */
export const installPackage = (runDir: string, p: { readonly file: string; readonly digest: string }): string => {
  const store = path.join(runDir, 'packages');
  mkdirSync(store, { recursive: true });
  symlinkSync(p.file, path.join(store, `${p.digest.replace(':', '-')}.squashfs`));
  return store;
};
