/**
 * What survives a reload: the conversation and the preferences, in this browser only.
 *
 * Reads nothing on trust: an entry of another shape is dropped. Knows no elements.
 */
import type { Preferences } from "./chat.ts";
import { isOpen, type Answer, type Conversation, type Turn } from "./conversation.ts";
import { INTERRUPTED } from "./failure.ts";
import type { Opinion } from "./opinion.ts";

/** Bound on the stored conversation, in characters; browsers give a page about five million. */
export const STORED_CHARS_MAX = 1_000_000;
/** Bound on the turns that come back, so that a reload draws them within a second. */
export const STORED_TURNS_MAX = 200;

/** The longest conversation key that the server takes, in characters. */
const KEY_CHARS_MAX = 256;

const CONVERSATION_KEY = "parley.conversation.1";
const PREFERENCES_KEY = "parley.preferences.1";

/** The part of Storage that is needed, so that tests can hand in a map. */
export interface Shelf {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** Keeps the conversation; the oldest turns go first when it outgrows its bound. */
export function saveConversation(shelf: Shelf, conversation: Conversation): void {
  let turns = conversation.turns.slice(-STORED_TURNS_MAX);
  const { key } = conversation;
  let text = JSON.stringify({ turns, key });
  while (text.length > STORED_CHARS_MAX && turns.length > 0) {
    turns = turns.slice(Math.ceil(turns.length / 8));
    text = JSON.stringify({ turns, key });
  }
  keep(shelf, CONVERSATION_KEY, text);
}

/** The conversation as it was; an answer that was in the making comes back as interrupted. */
export function loadConversation(shelf: Shelf): Conversation {
  const value = read(shelf, CONVERSATION_KEY);
  const turns = isRecord(value) && Array.isArray(value.turns) ? value.turns : [];
  const conversation = { turns: turns.filter(isTurn).map(settled) };
  return isRecord(value) && isKey(value.key) ? { ...conversation, key: value.key } : conversation;
}

export function savePreferences(shelf: Shelf, preferences: Preferences): void {
  keep(shelf, PREFERENCES_KEY, JSON.stringify(preferences));
}

export function loadPreferences(shelf: Shelf): Preferences {
  const value = read(shelf, PREFERENCES_KEY);
  const stored = isRecord(value) ? value : {};
  return {
    model: typeof stored.model === "string" ? stored.model : "",
    systemPrompt: typeof stored.systemPrompt === "string" ? stored.systemPrompt : "",
    temperature: typeof stored.temperature === "number" ? stored.temperature : undefined,
    maxTokens: typeof stored.maxTokens === "number" ? stored.maxTokens : undefined,
  };
}

/** A full or forbidden storage must not break the chat; the conversation then ends with the tab. */
function keep(shelf: Shelf, key: string, text: string): void {
  try {
    shelf.setItem(key, text);
  } catch (cause) {
    console.warn("Parley could not keep this in the browser:", cause);
  }
}

function read(shelf: Shelf, key: string): unknown {
  try {
    return JSON.parse(shelf.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

function settled(turn: Turn): Turn {
  const close = (answer: Answer): Answer =>
    isOpen(answer) ? { ...answer, state: "failed", failure: INTERRUPTED } : answer;
  return { ...turn, answers: turn.answers.map(close) };
}

const STATES: readonly unknown[] = ["waiting", "streaming", "done", "stopped", "failed"];

function isTurn(value: unknown): value is Turn {
  return (
    isRecord(value) &&
    typeof value.id === "string" &&
    typeof value.question === "string" &&
    Array.isArray(value.answers) &&
    value.answers.every(isAnswer) &&
    typeof value.shown === "number" &&
    value.shown in value.answers
  );
}

function isAnswer(value: unknown): value is Answer {
  return (
    isRecord(value) &&
    typeof value.id === "string" &&
    typeof value.model === "string" &&
    typeof value.text === "string" &&
    STATES.includes(value.state) &&
    (value.failure === undefined || isRecord(value.failure)) &&
    (value.readout === undefined || isRecord(value.readout)) &&
    isTextOrNone(value.responseId) &&
    isTextOrNone(value.systemPrompt) &&
    (value.opinion === undefined || isOpinion(value.opinion))
  );
}

function isOpinion(value: unknown): value is Opinion {
  return (
    isRecord(value) &&
    (value.rating === "good" || value.rating === "bad") &&
    typeof value.correction === "string" &&
    typeof value.reason === "string"
  );
}

function isKey(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= KEY_CHARS_MAX;
}

function isTextOrNone(value: unknown): boolean {
  return value === undefined || typeof value === "string";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
