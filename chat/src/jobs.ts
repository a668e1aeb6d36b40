/**
 * Jobs as the page shows them, folded from the list and from events as they come.
 *
 * Pure: knows the wire of /api/v1/jobs; knows no network, no clock and no elements.
 */

/** Losses that a line is drawn of; older ones are thinned out by then. */
export const LOSSES_MAX = 600;

export interface Card {
  readonly id: string;
  readonly kind: string;
  readonly model: string;
  readonly by: string;
  readonly submitted_ms: number;
  readonly state: JobState;
  readonly percent: number;
  readonly task: string;
  readonly message: string;
  readonly losses: readonly number[];
  readonly tokensPerSecond?: number;
  /** What came of it, in words; empty until something did. */
  readonly outcome: string;
}

export type JobState = "queued" | "running" | "cancelling" | "cancelled" | "succeeded" | "failed";

/** A job on the wire, as far as the page reads it. */
export interface WireJob {
  readonly id: string;
  readonly spec?: Readonly<Record<string, { readonly model?: string }>>;
  readonly state: string;
  readonly submitted_by?: string;
  readonly create_time?: string;
  readonly percent?: number;
  readonly message?: string;
  readonly tasks?: readonly WireTask[];
  readonly metrics?: Readonly<Record<string, unknown>>;
  readonly result?: WireResult;
  readonly error?: { readonly message?: string; readonly task?: string };
}

interface WireTask {
  readonly name: string;
  readonly state: string;
}

interface WireResult {
  readonly model?: string;
  readonly version?: number;
  readonly promotion?: string;
  readonly promotion_reason?: string;
  readonly output?: string;
}

/** An event of a job on the wire; one of the last five is there. */
export interface WireEvent {
  readonly revision: number;
  readonly state?: string;
  readonly task?: WireTask;
  readonly progress?: { readonly percent: number; readonly message: string };
  readonly metrics?: { readonly values: Readonly<Record<string, unknown>> };
  readonly line?: unknown;
}

/** The job as it is; losses that were seen before are kept. */
export function cardOf(job: WireJob, before?: Card): Card {
  const [kind, spec] = Object.entries(job.spec ?? {})[0] ?? ["job", {}];
  const running = job.tasks?.find((task) => task.state === "TASK_STATE_RUNNING");
  return {
    id: job.id,
    kind: kind.replaceAll("_", " "),
    model: spec.model || job.result?.model || "",
    by: job.submitted_by ?? "",
    submitted_ms: Date.parse(job.create_time ?? "") || 0,
    state: stateOf(job.state),
    percent: job.percent ?? 0,
    task: running?.name ?? before?.task ?? "",
    message: job.message ?? "",
    losses: before?.losses ?? [],
    tokensPerSecond: before?.tokensPerSecond ?? numberOf(job.metrics?.tokens_per_s),
    outcome: outcomeOf(job),
  };
}

/** The card after one event. */
export function told(card: Card, event: WireEvent): Card {
  if (event.state) return { ...card, state: stateOf(event.state) };
  if (event.task?.state === "TASK_STATE_RUNNING") return { ...card, task: event.task.name };
  if (event.progress) {
    const percent = Math.max(card.percent, event.progress.percent);
    return { ...card, percent, message: event.progress.message || card.message };
  }
  if (!event.metrics) return card;
  const { loss, tokens_per_s } = event.metrics.values;
  const measured = numberOf(loss);
  return {
    ...card,
    losses: measured === undefined ? card.losses : thinned([...card.losses, measured]),
    tokensPerSecond: numberOf(tokens_per_s) ?? card.tokensPerSecond,
  };
}

export function hasEnded(card: Card): boolean {
  return card.state === "succeeded" || card.state === "failed" || card.state === "cancelled";
}

/** Points of a line through the values, in a box of this size, top left at 0,0. */
export function points(values: readonly number[], width: number, height: number): string {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = width / Math.max(1, values.length - 1);
  const place = (value: number, i: number) =>
    `${(i * step).toFixed(1)},${(height - ((value - low) / span) * height).toFixed(1)}`;
  return values.map(place).join(" ");
}

/** Every second value goes once there are too many, so that the line keeps its beginning. */
function thinned(values: readonly number[]): readonly number[] {
  const last = values.length - 1;
  return values.length <= LOSSES_MAX
    ? values
    : values.filter((_, i) => i % 2 === 0 || i === last);
}

function stateOf(name: string): JobState {
  return name.replace("JOB_STATE_", "").toLowerCase() as JobState;
}

/** JSON has no NaN: what is no number comes as text. */
function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function outcomeOf(job: WireJob): string {
  if (job.state === "JOB_STATE_FAILED") {
    const at = job.error?.task ? ` in ${job.error.task}` : "";
    return `Failed${at}: ${job.error?.message || "see its log"}`;
  }
  if (job.state !== "JOB_STATE_SUCCEEDED" || !job.result) return "";
  const { model, version, promotion, promotion_reason, output } = job.result;
  const place = version ? `${model}@${version}` : (model ?? "");
  if (promotion === "PROMOTION_OUTCOME_PROMOTED") return `${place} is the champion.`;
  if (promotion === "PROMOTION_OUTCOME_WAITING") return `${place} waits for an approval.`;
  if (promotion === "PROMOTION_OUTCOME_REFUSED") {
    return `${place} was not promoted: ${promotion_reason || "a gate refused it"}`;
  }
  if (output) return `The answers are in ${output}`;
  return version ? `${place} is registered.` : "";
}
