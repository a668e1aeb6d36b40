/**
 * The jobs while somebody looks at them: the list every few seconds, and the first that run live.
 *
 * Browsers open six connections to a server, and a chat needs one; so few jobs are followed live.
 */
import { Failure, type FailureNote } from "./failure.ts";
import { refusalOf } from "./feedback.ts";
import { cardOf, hasEnded, told, type Card, type WireEvent, type WireJob } from "./jobs.ts";
import { fetchSmall } from "./stream.ts";

const EVERY_MS = 5000;
const LIVE_MAX = 2;
const JOBS_MAX = 25;
const KINDS = ["state", "task", "progress", "metrics"] as const;

export class Board {
  #cards = new Map<string, Card>();
  readonly #live = new Map<string, EventSource>();
  /** The last event that was seen of each job, so that none counts twice. */
  readonly #revisions = new Map<string, string>();
  #timer = 0;
  #open = false;
  #scheduled = false;

  /** `changed` is called once a frame at most, with all cards, newest first. */
  constructor(private readonly changed: (cards: readonly Card[], problem?: FailureNote) => void) {}

  open(): void {
    if (this.#open) return;
    this.#open = true;
    void this.#look();
  }

  close(): void {
    this.#open = false;
    window.clearTimeout(this.#timer);
    for (const id of [...this.#live.keys()]) this.#leave(id);
  }

  async #look(): Promise<void> {
    try {
      this.#take(await fetchJobs());
    } catch (cause) {
      if (!(cause instanceof Failure)) throw cause;
      if (this.#open) this.changed([...this.#cards.values()], cause.note);
    }
    if (this.#open) this.#timer = window.setTimeout(() => void this.#look(), EVERY_MS);
  }

  #take(jobs: readonly WireJob[]): void {
    if (!this.#open) return;
    const before = this.#cards;
    // A job that is followed is known better than the list, which may be older.
    const card = (job: WireJob) =>
      (this.#live.has(job.id) && before.get(job.id)) || cardOf(job, before.get(job.id));
    this.#cards = new Map(jobs.map((job) => [job.id, card(job)]));
    for (const id of [...this.#live.keys()]) if (!this.#cards.has(id)) this.#leave(id);
    for (const { id, state } of this.#cards.values()) {
      if (state === "running" && this.#live.size < LIVE_MAX) this.#follow(id);
    }
    this.#tell();
  }

  /** The browser takes a broken stream up again by itself, after the last event that it has. */
  #follow(id: string): void {
    if (this.#live.has(id)) return;
    const revision = this.#revisions.get(id) ?? "0";
    const path = `/api/v1/jobs/${encodeURIComponent(id)}/events?revision=${revision}`;
    const source = new EventSource(path);
    this.#live.set(id, source);
    const change = (next: (card: Card) => Card) => {
      const card = this.#cards.get(id);
      if (!card || this.#live.get(id) !== source) return;
      this.#cards.set(id, next(card));
      this.#tell();
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        this.#revisions.set(id, event.lastEventId);
        change((card) => told(card, JSON.parse(event.data) as WireEvent));
      });
    }
    source.addEventListener("job", (event) => {
      change((card) => cardOf(JSON.parse(event.data) as WireJob, card));
    });
    source.addEventListener("end", (event) => {
      change((card) => cardOf(JSON.parse(event.data) as WireJob, card));
      this.#leave(id);
    });
    source.addEventListener("problem", () => this.#leave(id));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) this.#leave(id);
    });
  }

  #leave(id: string): void {
    this.#live.get(id)?.close();
    this.#live.delete(id);
  }

  #tell(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      if (this.#open) this.changed([...this.#cards.values()]);
    });
  }
}

/** The newest jobs. Throws Failure. */
async function fetchJobs(): Promise<readonly WireJob[]> {
  const response = await fetchSmall(`/api/v1/jobs?page_size=${JOBS_MAX}`, {});
  if (!response.ok) throw await refusalOf(response);
  const body = (await response.json()) as { jobs?: readonly WireJob[] };
  return body.jobs ?? [];
}

/** How many of the cards are at work. */
export function atWork(cards: readonly Card[]): number {
  return cards.filter((card) => !hasEnded(card)).length;
}
