import { parseArgs } from 'node:util';
import { ensureDebianImage } from '../../infra/guest/debian-image.ts';
import { cacheDir } from '../run/platform.ts';
import { asTool } from '../run/tool.ts';

const usage = `npm run image

Makes the Debian disk image, unless it is there, and prints its path. What it does is said on stderr.`;

const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } } });
if (values.help) console.log(usage);
else
  await asTool(async () => {
    console.log((await ensureDebianImage({ cacheDir })).file);
    return 0;
  });
