import type { ServiceContext } from '@chrysalis/service-kit';
import { fileWent, filesToGo } from '../sql/catalogue.ts';
import type { ImageFiles } from './files.ts';

/** Files of images that were deleted go from the depot; those that an image has again, or has too, stay. Done twice it is as once. */
export const removeFiles = async (service: Pick<ServiceContext, 'pool' | 'schema'>, files: Pick<ImageFiles, 'remove'>): Promise<void> => {
  for (const { digest, format, registered } of await filesToGo(service)) {
    if (!registered) await files.remove(digest, format);
    await fileWent(service, digest);
  }
};
