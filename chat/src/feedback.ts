/** Sends feedback to the server. Knows no conversation and no view. */
import { Failure, type WireError } from "./failure.ts";
import type { FeedbackRequest } from "./opinion.ts";
import { fetchSmall } from "./stream.ts";

/** A problem as /api has it (RFC 9457), as far as the page reads it. */
interface Problem {
  readonly detail?: unknown;
}

/** Throws Failure when it was not taken, `signedOut` without a session. */
export async function sendFeedback(request: FeedbackRequest): Promise<void> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(request);
  const response = await fetchSmall("/api/v1/feedback", { method: "POST", headers, body });
  if (!response.ok) throw await refusalOf(response);
}

/** A refusal of /api in the page's words. */
export async function refusalOf(response: Response): Promise<Failure> {
  const problem = (await response.json().catch(() => ({}))) as Problem | null;
  const detail = problem?.detail;
  const error: WireError = typeof detail === "string" ? { message: detail } : {};
  return Failure.ofResponse(response, error, Date.now());
}
