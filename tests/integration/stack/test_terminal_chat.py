"""The terminal's chat against a small server that speaks the OpenAI wire."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from stack.errors import StackError
from stack.terminal_chat import Answer, Chat


def chunk(text="", finish_reason=None):
    """One event of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice]})


WHOLE = [
    chunk("Hel"),
    chunk("lo"),
    chunk(finish_reason="stop"),
    json.dumps({"choices": [], "usage": {"completion_tokens": 2}}),
    "[DONE]",
]


class Wire(BaseHTTPRequestHandler):
    """Lists one model and streams the server's `events`; remembers what it was asked."""

    def do_GET(self):
        """The models."""
        self.answer("application/json", json.dumps({"data": [{"id": "a-model"}]}).encode())

    def do_POST(self):
        """The stream, or the server's refusal."""
        length = int(self.headers["content-length"])
        self.server.asked.append(json.loads(self.rfile.read(length)))
        if self.server.refusal:
            body = json.dumps({"error": {"message": self.server.refusal}}).encode()
            self.answer("application/json", body, 429)
        else:
            lines = "".join(f": keep-alive\n\ndata: {event}\n\n" for event in self.server.events)
            self.answer("text/event-stream", lines.encode())

    def answer(self, kind, body, status=200):
        """Writes one whole answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def wire():
    """The server; set its `events` or `refusal`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Wire)
    server.events, server.refusal, server.asked = WHOLE, "", []
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def chat(wire):
    """A conversation with the server."""
    with Chat(f"http://127.0.0.1:{wire.server_port}/v1", "sk-test") as conversation:
        yield conversation


def ask(chat, question):
    """One whole turn."""
    answer = Answer()
    return "".join(chat.ask(question, answer)), answer


def test_an_answer_is_whole_and_counted_by_the_server(chat):
    """Text, reason and tokens are those of the stream."""
    text, answer = ask(chat, "Hi")
    assert (text, answer.text, answer.finish_reason, answer.tokens) == ("Hello", "Hello", "stop", 2)
    assert 0 < answer.first_token_s <= answer.total_s


def test_each_turn_sends_the_turns_before(chat, wire):
    """The model sees the whole conversation."""
    ask(chat, "Hi")
    ask(chat, "And?")
    roles = [(message["role"], message["content"]) for message in wire.asked[-1]["messages"]]
    assert roles == [("user", "Hi"), ("assistant", "Hello"), ("user", "And?")]
    assert wire.asked[-1]["model"] == "a-model"


def test_all_turns_have_the_conversations_key(chat, wire):
    """By which the server finds what it computed before; another conversation has another."""
    ask(chat, "Hi")
    ask(chat, "And?")
    with Chat(f"http://127.0.0.1:{wire.server_port}/v1", "sk-test") as other:
        ask(other, "Hi")
    first, second, another = (asked["prompt_cache_key"] for asked in wire.asked)
    assert first == second != another
    assert 16 <= len(first) <= 256


def test_a_stopped_answer_stays_as_far_as_it_came(chat, wire):
    """Ctrl-C ends the answer, not the conversation."""
    pieces = chat.ask("Hi", Answer())
    assert next(pieces) == "Hel"
    pieces.close()
    ask(chat, "And?")
    assert wire.asked[-1]["messages"][1] == {"role": "assistant", "content": "Hel"}


def test_a_refused_turn_leaves_the_conversation_as_it_was(chat, wire):
    """The server's own words are shown, and the question can be asked again."""
    wire.refusal = "The queue is full."
    with pytest.raises(StackError, match="The queue is full"):
        ask(chat, "Hi")
    wire.refusal = ""
    ask(chat, "Again")
    assert [message["content"] for message in wire.asked[-1]["messages"]] == ["Again"]


def test_an_error_in_mid_stream_is_told(chat, wire):
    """An answer that failed is never taken for a whole one."""
    wire.events = [WHOLE[0], json.dumps({"error": {"message": "The engine ended."}})]
    with pytest.raises(StackError, match="The engine ended"):
        ask(chat, "Hi")


def test_a_stream_without_its_end_is_told(chat, wire):
    """A clean end of the connection is no end of the answer."""
    wire.events = WHOLE[:2]
    with pytest.raises(StackError, match="cut off"):
        ask(chat, "Hi")


def test_control_characters_do_not_reach_the_terminal(chat, wire):
    """What the model writes cannot command the terminal."""
    wire.events = [chunk("a\x1b[31mb\x9b1mc\r\x07\n\td"), *WHOLE[2:]]
    text, _ = ask(chat, "Hi")
    assert text == "a[31mb1mc\n\td"


def test_an_edge_that_is_gone_is_told():
    """No traceback where nothing listens."""
    with pytest.raises(StackError, match="could not be reached"):
        Chat("http://127.0.0.1:1/v1", "sk-test")
