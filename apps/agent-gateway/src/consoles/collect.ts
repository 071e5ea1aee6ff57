import { ProblemError, type Caller } from '@chrysalis/service-kit';
import { refusalOf, type Asked, type Consoles, type Place, type Session } from './consoles.ts';

const PATIENCE_MS = 10_000;

/** All that a session gives which ends by itself: as much as the agent lets there be. */
export const collect = (consoles: Consoles, place: Place, asked: Asked, caller: Caller): Promise<Buffer> =>
  new Promise((done, fail) => {
    const pieces: Buffer[] = [];
    const nothing = (): void => undefined;
    const session: Session = consoles.open(place, asked, caller, {
      ...{ opened: nothing, took: nothing, reads: nothing, notice: nothing },
      output: (bytes) => {
        pieces.push(bytes);
        session.passed(bytes.length);
      },
      closed: (cause) => {
        clearTimeout(late);
        if (cause) fail(refusalOf(cause));
        else done(Buffer.concat(pieces));
      },
    });
    const late = setTimeout(() => {
      fail(ProblemError.of({ code: 'console.no_answer', message: `the host ${place.hostId} did not answer in ${PATIENCE_MS / 1_000} s` }));
      session.close('console.left', 'nobody waits any more');
    }, PATIENCE_MS);
  });
