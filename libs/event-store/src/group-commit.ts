import type { Append, Appended } from './types.ts';

type List = readonly Append[];

export type GroupCommitOptions = {
  /** One statement for all of them, each with its own verdict, in their order. No stream occurs twice. */
  readonly together: (lists: readonly List[]) => Promise<readonly Appended[]>;
  /** One list by itself, which may wait for as long as another transaction holds its stream. */
  readonly alone: (list: List) => Promise<Appended>;
  /** Of an error of `together`: certain that nothing was done, so each may be done alone. */
  readonly undone: (error: unknown) => boolean;
};

const lanes = 3;
/**
 * A lane is given so much (see `weigh`) before the next is used. With 16 writers of one event and a disk that syncs, one lane did 12,700
 * a second, two 9,500, four 4,300: the fewer commits the better. With ten events an append, two lanes of eight did a fifth more than one
 * of 16: there is enough work then for this process and the server at the same time.
 */
const enough = 96;
const maxAppends = 64;
const maxEvents = 1_000;
/** So many of those who wait are looked at for a group: many appends to one stream make many rounds. */
const maxLook = 512;
/** A lane waits so long for a stream that another transaction holds, then leaves that append to itself. As `lock_timeout` in sql/append-group.ts. */
const lanePatienceMs = 50;
/** An append set apart waits so long for the one before it on its stream. Order is a courtesy there; this way it can close no circle. */
const apartPatienceMs = 1_000;

type Lane = { waiting: Member[]; load: number; running: boolean; scheduled: boolean };

type Member = {
  readonly list: List;
  readonly streams: readonly string[];
  readonly answer: PromiseWithResolvers<Appended>;
  /** Undefined: set apart, on no lane. */
  lane: Lane | undefined;
};

/**
 * Lets appends that are asked for at the same time share a statement, hence a commit. A group is what came while the lane's statement
 * before it ran, so one that is alone waits for nobody. No stream is on two lanes or twice in a group: this process does not race with
 * itself, and a stream's appends are done in the order in which they were asked for. What goes wrong in a group (a race with another
 * process, a stream that is held, an event the database refuses) is done again one by one, apart from the lane.
 */
export class GroupCommit {
  readonly #lanes: readonly Lane[] = Array.from({ length: lanes }, () => ({ waiting: [], load: 0, running: false, scheduled: false }));
  /** Who was the last to ask for a stream, until answered. */
  readonly #last = new Map<string, Member>();

  constructor(private readonly options: GroupCommitOptions) {}

  append(list: List): Promise<Appended> {
    const streams = list.map((a) => a.stream);
    const before = this.#lastOf(streams);
    const lane = before.length === 0 ? this.#choose() : before[0]!.lane;
    const together = before.every((m) => m.lane === lane);
    const member: Member = { list, streams, answer: Promise.withResolvers(), lane: together ? lane : undefined };
    for (const stream of streams) this.#last.set(stream, member);
    if (member.lane) {
      member.lane.waiting.push(member);
      member.lane.load += weigh([member]);
      this.#schedule(member.lane);
    } else void this.#apart(member, before);
    return member.answer.promise;
  }

  #lastOf(streams: readonly string[]): readonly Member[] {
    return distinct(streams.map((stream) => this.#last.get(stream)));
  }

  #choose(): Lane {
    return this.#lanes.find((lane) => lane.load < enough) ?? this.#lanes.reduce((best, lane) => (lane.load < best.load ? lane : best));
  }

  /** At the end of this turn of the event loop, so that those whom one answer woke go together. */
  #schedule(lane: Lane): void {
    if (lane.running || lane.scheduled || lane.waiting.length === 0) return;
    lane.scheduled = true;
    setImmediate(() => void this.#run(lane));
  }

  async #run(lane: Lane): Promise<void> {
    const group = take(lane);
    lane.scheduled = false;
    lane.running = true;
    await (group.length === 1 ? this.#one(lane, group[0]!) : this.#together(lane, group));
    lane.load -= weigh(group);
    lane.running = false;
    this.#schedule(lane);
  }

  async #one(lane: Lane, member: Member): Promise<void> {
    if (!(await within(lanePatienceMs, this.#apart(member, [])))) this.#setApart(lane, [member]);
  }

  async #together(lane: Lane, group: readonly Member[]): Promise<void> {
    try {
      const answers = await this.options.together(group.map((m) => m.list));
      for (const [i, member] of group.entries()) this.#settle(member, () => member.answer.resolve(answers[i]!));
    } catch (error) {
      if (this.options.undone(error)) {
        this.#setApart(lane, group);
        for (const member of group) void this.#apart(member, []);
      } else for (const member of group) this.#settle(member, () => member.answer.reject(error));
    }
  }

  /** Takes them off the lane, and those who wait there behind them for a stream. */
  #setApart(lane: Lane, members: readonly Member[]): void {
    const streams = new Set<string>();
    const last = new Map<string, Member>();
    const note = (member: Member): void => member.streams.forEach((stream) => void last.set(stream, member));
    const leave = (member: Member): void => {
      member.lane = undefined;
      for (const stream of member.streams) streams.add(stream);
    };
    for (const member of members) {
      leave(member);
      note(member);
    }
    lane.waiting = lane.waiting.filter((member) => {
      const stays = !member.streams.some((stream) => streams.has(stream));
      if (!stays) {
        leave(member);
        lane.load -= weigh([member]);
        void this.#apart(member, distinct(member.streams.map((stream) => last.get(stream))));
      }
      note(member);
      return stays;
    });
  }

  /** Never rejects. */
  async #apart(member: Member, before: readonly Member[]): Promise<void> {
    if (before.length > 0) await within(apartPatienceMs, Promise.allSettled(before.map((m) => m.answer.promise)));
    try {
      const appended = await this.options.alone(member.list);
      this.#settle(member, () => member.answer.resolve(appended));
    } catch (error) {
      this.#settle(member, () => member.answer.reject(error));
    }
  }

  #settle(member: Member, answer: () => void): void {
    for (const stream of member.streams) if (this.#last.get(stream) === member) this.#last.delete(stream);
    answer();
  }
}

/** In whole thirds of an append, so that adding and taking away ends at zero. */
const weigh = (members: readonly Member[]): number => members.reduce((sum, { list }) => sum + 3 * list.length + eventsIn(list), 0);

const eventsIn = (list: List): number => list.reduce((sum, a) => sum + a.events.length, 0);

const distinct = (members: readonly (Member | undefined)[]): readonly Member[] => [...new Set(members.filter((m) => m !== undefined))];

/** The first who waits, and with it who can go with it. Who must wait for another round holds back those behind it on its streams. */
const take = (lane: Lane): readonly Member[] => {
  const { waiting } = lane;
  const group: Member[] = [];
  const left: Member[] = [];
  const streams = new Set<string>();
  let appends = 0;
  let events = 0;
  let looked = 0;
  for (; looked < Math.min(waiting.length, maxLook); looked++) {
    const member = waiting[looked]!;
    appends += member.list.length;
    events += eventsIn(member.list);
    if (group.length > 0 && (appends > maxAppends || events > maxEvents)) break;
    const free = !member.streams.some((stream) => streams.has(stream));
    (free ? group : left).push(member);
    for (const stream of member.streams) streams.add(stream);
    if (free) continue;
    appends -= member.list.length;
    events -= eventsIn(member.list);
  }
  lane.waiting = [...left, ...waiting.slice(looked)];
  return group;
};

/** Whether it ended in time. It goes on if not. */
const within = async (ms: number, work: Promise<unknown>): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, ms, false)));
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
};
