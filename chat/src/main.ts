/** The page put together: state in one place, views around it, and the network at the edge. */
import { Announcer } from "./announcer.ts";
import { Chat, type Preferences } from "./chat.ts";
import { Composer } from "./composer.ts";
import { lastTurn, type Conversation } from "./conversation.ts";
import { h } from "./dom.ts";
import { Failure } from "./failure.ts";
import { sendFeedback } from "./feedback.ts";
import { Header } from "./header.ts";
import { JobsView } from "./jobs-view.ts";
import { helpDialog, listen } from "./keys.ts";
import { feedbackRequest, type Opinion } from "./opinion.ts";
import { Settings } from "./settings.ts";
import { SignIn } from "./sign-in.ts";
import { loadConversation, loadPreferences, saveConversation, savePreferences } from "./storage.ts";
import { complete, fetchModels, signIn } from "./stream.ts";
import { TranscriptView } from "./transcript-view.ts";
import { welcome } from "./welcome.ts";

/** While an answer streams, it is kept at most this often, in milliseconds. */
const SAVE_EVERY_MS = 1000;

/** Between two looks for a model that is not there yet, in milliseconds. */
const LOOK_EVERY_MS = 2000;

/** What the server adds to the address when a sign-in link was refused. */
const LOGIN_FAILED = "?login=failed";

class Page {
  #preferences: Preferences = loadPreferences(localStorage);
  #models: readonly string[] = [];
  #savedAt_ms = 0;
  #nextLook: number | undefined;
  #linkFailed = location.search === LOGIN_FAILED;
  readonly #announcer = new Announcer();
  readonly #help = helpDialog();
  readonly #settings = new Settings((sampling) => this.#prefer(sampling));
  readonly #jobs = new JobsView();
  readonly #signIn = new SignIn((token) => this.#enter(token));
  readonly #notice = h("div", { class: "notice", role: "status" });
  readonly #welcome = welcome((question) => this.#send(question, false));
  readonly #header = new Header({
    choose: (model) => this.#prefer({ model }),
    fresh: () => this.#fresh(),
    settings: () => this.#settings.open(this.#preferences),
    jobs: () => this.#jobs.open(),
    help: () => this.#help.showModal(),
  });
  readonly #composer = new Composer({
    send: (text, editing) => this.#send(text, editing),
    stop: () => this.#chat.stop(),
  });
  readonly #transcript = new TranscriptView({
    regenerate: () => this.#regenerate(),
    edit: () => this.#edit(),
    show: (turnId, index) => this.#chat.show(turnId, index),
    opine: (turnId, answerId, opinion) => this.#opine(turnId, answerId, opinion),
  });
  readonly #chat = new Chat(
    {
      complete,
      now_ms: () => performance.now(),
      newId: () => newId(),
      schedule: (work) => requestAnimationFrame(work),
      preferences: () => this.#preferences,
      changed: (conversation, settled) => this.#changed(conversation, settled),
      signedOut: () => this.#askToSignIn(),
    },
    loadConversation(localStorage),
  );
  readonly #foot = h("div", { class: "bottom" });
  readonly #main = h("main", {});

  start(): void {
    const hint = h("p", { class: "hint" }, "A model can be wrong. Check what matters.");
    this.#foot.append(this.#transcript.toFoot, this.#notice, this.#composer.element, hint);
    this.#main.append(this.#transcript.element, this.#welcome, this.#signIn.element, this.#foot);
    document.body.append(this.#header.element, this.#main, this.#announcer.element);
    document.body.append(this.#settings.element, this.#jobs.element, this.#help);
    listen({
      escape: () => this.#escape(),
      editLast: () => this.#edit(),
      help: () => this.#help.showModal(),
    });
    addEventListener("pagehide", () => saveConversation(localStorage, this.#chat.conversation));
    if (location.search) history.replaceState(null, "", location.pathname);
    this.#signIn.element.hidden = true;
    this.#show(this.#chat.conversation);
    void this.#connect();
  }

  /** Asks for the models, which is also how the page learns whether it is signed in. */
  async #connect(): Promise<void> {
    clearTimeout(this.#nextLook);
    try {
      this.#welcomeModels(await fetchModels());
    } catch (cause) {
      if (cause instanceof Failure && cause.signedOut) return this.#askToSignIn();
      const note = (cause instanceof Failure ? cause : Failure.unreadable()).note;
      this.#notify(`${note.title}. ${note.advice}`);
    }
  }

  #welcomeModels(models: readonly string[]): void {
    this.#models = models;
    const model = models.includes(this.#preferences.model) ? this.#preferences.model : models[0];
    this.#signIn.element.hidden = true;
    this.#prefer({ model: model ?? "" });
    if (model) this.#settle();
    else this.#notify("No model is loaded yet. It may still be starting.");
    this.#show(this.#chat.conversation);
    // Found in the background, it must not take the keyboard from what somebody does meanwhile.
    if (!document.activeElement?.closest("dialog")) this.#composer.focus();
  }

  /** Takes away the word that there was no model, and says to those who heard it that there is. */
  #settle(): void {
    if (!this.#notice.hasChildNodes()) return;
    this.#notice.replaceChildren();
    this.#announcer.say("A model is ready.");
  }

  /** Says why there is no model, and looks again until there is: by itself, or when asked to. */
  #notify(why: string): void {
    const words = `${why} This page keeps looking.`;
    this.#lookLater();
    if (this.#notice.firstChild?.textContent === words) return;
    const again = h("button", { type: "button", class: "button" }, "Try again");
    again.addEventListener("click", () => void this.#connect());
    this.#notice.replaceChildren(h("p", {}, words), again);
  }

  #lookLater(): void {
    clearTimeout(this.#nextLook);
    const look = () => (document.hidden ? this.#lookLater() : void this.#connect());
    this.#nextLook = window.setTimeout(look, LOOK_EVERY_MS);
  }

  #askToSignIn(): void {
    this.#models = [];
    this.#notice.replaceChildren();
    if (this.#linkFailed) this.#signIn.linkFailed();
    this.#linkFailed = false;
    this.#signIn.element.hidden = false;
    this.#show(this.#chat.conversation);
    this.#signIn.focus();
  }

  async #enter(token: string): Promise<boolean> {
    if (!(await signIn(token))) return false;
    await this.#connect();
    return true;
  }

  #prefer(change: Partial<Preferences>): void {
    this.#preferences = { ...this.#preferences, ...change };
    savePreferences(localStorage, this.#preferences);
    this.#header.update(this.#models, this.#preferences.model);
  }

  #send(text: string, editing: boolean): void {
    if (!this.#preferences.model) return;
    this.#transcript.goToFoot();
    void (editing ? this.#chat.askAgain(text) : this.#chat.ask(text));
    this.#composer.focus();
  }

  #regenerate(): void {
    this.#transcript.goToFoot();
    void this.#chat.regenerate();
    this.#composer.focus();
  }

  #edit(): void {
    const turn = lastTurn(this.#chat.conversation);
    if (turn && !this.#chat.busy) this.#composer.edit(turn.question);
  }

  async #opine(turnId: string, answerId: string, opinion: Opinion): Promise<void> {
    const request = feedbackRequest(this.#chat.conversation, turnId, answerId, opinion);
    if (!request) return;
    try {
      await sendFeedback(request);
    } catch (cause) {
      if (cause instanceof Failure && cause.signedOut) this.#askToSignIn();
      throw cause;
    }
    this.#chat.opine(turnId, answerId, opinion);
    this.#announcer.say("Your feedback was sent.");
  }

  #escape(): void {
    if (!this.#composer.cancelEdit()) this.#chat.stop();
  }

  #fresh(): void {
    this.#composer.cancelEdit();
    this.#chat.clear();
    this.#composer.focus();
  }

  #changed(conversation: Conversation, settled: boolean): void {
    this.#show(conversation);
    this.#announcer.update(conversation);
    const now_ms = performance.now();
    if (!settled && now_ms - this.#savedAt_ms < SAVE_EVERY_MS) return;
    this.#savedAt_ms = now_ms;
    saveConversation(localStorage, conversation);
  }

  #show(conversation: Conversation): void {
    const signedOut = !this.#signIn.element.hidden;
    const empty = conversation.turns.length === 0;
    this.#welcome.hidden = signedOut || !empty;
    this.#transcript.element.hidden = signedOut || empty;
    this.#foot.hidden = signedOut;
    this.#header.update(this.#models, this.#preferences.model);
    this.#transcript.update(conversation);
    this.#composer.update(this.#chat.busy, this.#models.length > 0);
  }
}

/** `crypto.randomUUID` needs a secure origin; these ids have to differ, not to be secret. */
function newId(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
}

new Page().start();
