import type { WorkflowEvent } from '@chrysalis/contracts';
import { dependantsOf } from './dependencies.ts';
import type { Execution, LedgerState, OpenOffer } from './ledger-state.ts';
import { targetKey } from './types.ts';

type DataOf<T extends string> = Extract<WorkflowEvent, { type: `chrysalis.workflow.${T}.v1` }>['data'];

/** Who may be given out when. Asked before the event is entered. */
export class Rules {
  constructor(private readonly ledger: LedgerState) {}

  dispatched(data: Execution): void {
    const { ledger } = this;
    const { task, action, attempt, token } = data;
    const entry = ledger.entry(task);
    if (token <= ledger.token) this.#say(`${targetKey(data)}: token ${token} does not rise above ${ledger.token}`);
    if (attempt !== entry.attempts[action] + 1) this.#say(`${targetKey(data)}: attempt ${attempt} after ${entry.attempts[action]}`);
    if (action === 'compensate') return this.#mayUndo(data);
    const definition = ledger.definitionOf(task);
    if (data.hedge) this.#mayHedge(task);
    else {
      if (entry.open.size > 0) this.#say(`${targetKey(data)}: it runs already`);
      this.begins(task, 'given out');
    }
    if (definition.route.mode === 'bid' && entry.offer) this.#awarded(data, entry.offer);
  }

  /** A task or item is let go: given out, offered, or made into items. */
  begins(task: string, how: string): void {
    const { ledger } = this;
    const { entries } = ledger;
    const which = `${task} was ${how}`;
    if (ledger.paused) this.#say(`${which} while it was paused`);
    if (ledger.compensating) this.#say(`${which} while it was being undone`);
    const outcomeOf = (name: string): string => entries.get(name)?.outcome ?? 'none';
    const early = ledger.waitsFor(task).filter((d) => !['done', 'skipped'].includes(outcomeOf(d)));
    if (early.length > 0) this.#say(`${which}, and ${early.slice(0, 5).join()} had not ended`);
    if (outcomeOf(task) !== 'none') this.#say(`${which}, and is ${outcomeOf(task)}`);
    const stuck = ledger.troubles.length > 0 && !ledger.committed && !ledger.definitionOf(task).pointOfNoReturn;
    if (stuck) this.#say(`${which} after ${ledger.troubles[0]!.task ?? 'a cancel'} had failed`);
    if (!entries.get(task)?.begun) this.#room(task, which);
  }

  /** The concurrency of a forEach, for an item that begins. */
  #room(task: string, which: string): void {
    if (!task.includes('.')) return;
    const [of] = task.split('.');
    const { concurrency } = this.ledger.definitionOf(task).forEach!;
    const others = this.ledger.itemsOf(of!).filter((name) => this.ledger.entries.get(name)?.begun).length;
    if (others >= concurrency) this.#say(`${which} beside ${others} others, and ${concurrency} are the most`);
  }

  #mayHedge(task: string): void {
    const { ledger } = this;
    const definition = ledger.definitionOf(task);
    if (!definition.hedge || !definition.idempotent) this.#say(`${task} runs twice at a time, and nobody allowed that`);
    if (ledger.entry(task).open.size !== 1) this.#say(`${task} runs ${ledger.entry(task).open.size + 1} times at a time`);
    if (ledger.paused || ledger.compensating) this.#say(`${task} was doubled while it was paused or being undone`);
  }

  /** Ready before not ready, good rank before bad, then by the rule: nobody who bid may have been better. */
  #awarded({ task, executor, beginBy, at }: Execution, offer: OpenOffer): void {
    const { route } = this.ledger.definitionOf(task);
    if (route.mode !== 'bid') return;
    if (Date.parse(at) < Date.parse(offer.closesAt)) this.#say(`${task} was awarded before its offer closed`);
    const winner = offer.bids.find((b) => b.executor === executor);
    if (offer.bids.length === 0) return;
    if (!winner || beginBy === undefined) return this.#say(`${task} went to ${executor}, who had not bid`);
    const better = offer.bids.find((b) =>
      b.ready !== winner.ready
        ? b.ready
        : b.rank !== winner.rank
          ? b.rank < winner.rank
          : route.award === 'lowest-cost' && b.cost < winner.cost,
    );
    if (better) this.#say(`${task} went to ${executor}, and ${better.executor} had the better bid`);
  }

  bid({ task, offer, executor, at }: DataOf<'bid.received'>): void {
    const open = this.ledger.entries.get(task)?.offer;
    if (open?.offer !== offer || Date.parse(at) >= Date.parse(open.closesAt))
      return this.#say(`a bid for ${task} was taken after its offer closed`);
    if (open.bids.some((b) => b.executor === executor)) this.#say(`${executor} bid twice for ${task}`);
  }

  heard(data: DataOf<'heartbeat.recorded'>): void {
    if (!this.ledger.isOpen(data)) this.#say(`a heartbeat was believed whose attempt is over: ${targetKey(data)}`);
  }

  joined(task: string): void {
    const { ledger } = this;
    const left = ledger.itemsOf(task).filter((n) => !['done', 'skipped'].includes(ledger.entry(n).outcome));
    if (left.length > 0) this.#say(`${task} succeeded without ${left.slice(0, 5).join()}`);
  }

  compensationStarted(): void {
    const { ledger } = this;
    if (ledger.committed) this.#say('it undid past its point of no return');
    if (ledger.end && ledger.end.state !== 'succeeded') this.#say(`it is ${ledger.end.state}, and is undone`);
    for (const [name, { open }] of ledger.entries)
      if (open.size > 0 && ledger.definitionOf(name).pointOfNoReturn) this.#say(`it is undone while ${name} is under way, and may pass`);
  }

  #mayUndo({ task, executor }: Execution): void {
    const { ledger } = this;
    const { mayHaveEffect, open, ran, undone } = ledger.entry(task);
    const place = ledger.placeOf({ task, executor });
    if (!ledger.compensating) this.#say(`${task} is undone, and nobody said that it is to be`);
    if (!mayHaveEffect) this.#say(`${task} never ran, and is undone`);
    if (ran.size > 0 && !ran.has(place)) this.#say(`${task} is undone at ${executor}, where it never ran`);
    if (undone.has(place)) this.#say(`${task} is undone at ${executor}, where it was undone already`);
    if (open.size > 0) this.#say(`${task} is undone while it is under way`);
    this.#dependantsFirst(task);
  }

  /** What depends on a task is undone before it. */
  #dependantsFirst(task: string): void {
    const { ledger } = this;
    for (const name of dependantsOf(ledger, task)) {
      const entry = ledger.entries.get(name);
      const undo = ledger.definitionOf(name).compensation !== undefined && entry?.mayHaveEffect === true;
      if (undo && !entry.compensated) this.#say(`${task} is undone before ${name}, which depends on it`);
      if ([...(entry?.open.values() ?? [])].some((e) => e.action === 'run'))
        this.#say(`${task} is undone while ${name}, which depends on it, runs`);
    }
  }

  #say(message: string): void {
    this.ledger.problems.push(message);
  }
}
