import { spawn } from 'node:child_process';
import { asTool } from '../tool.ts';

/** For tests: a tool that runs for ever, with a process far below it that outlives all but its leash. Says that one's pid. */
await asTool(async () => {
  const between = spawn('/bin/sh', ['-c', 'setsid "$0" 600 </dev/null >/dev/null 2>&1 & echo $!', process.argv[2]!], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await new Promise((resolve) => between.once('exit', resolve));
  return new Promise(() => setInterval(() => undefined, 1000));
});
