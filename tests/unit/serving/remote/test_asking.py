"""What is asked of another server, and what is refused before it is."""

import pytest
from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc.errors import FailedPrecondition, InvalidArgument
from services.serving.remote.asking import CHAT, COMPLETIONS, to_count, to_question
from services.serving.remote.dialects import DIALECTS, kind_of
from stack.environment.places import ROOT

USER = pb.Conversation(messages=[pb.ChatMessage(role=pb.CHAT_ROLE_USER, content="hi")])


def ask(kind: str, **fields: object):
    """The question to a server of that kind."""
    if not {"text", "tokens"} & fields.keys():
        fields["conversation"] = USER
    return to_question(pb.GenerateRequest(**fields), "org/tiny", DIALECTS[kind])


def test_a_chat_is_asked_with_everything_that_was_said():
    """By OpenAI's names, with the usage, and with numbers as they were written."""
    question = ask(
        "vllm",
        sampling=pb.Sampling(temperature=0.7, top_k=5, seed=3, presence_penalty=0),
        stopping=pb.Stopping(tokens_max=9, stop_strings=["a"], ignore_end=True),
        output_format=pb.OutputFormat(json_schema='{"type":"object"}'),
        choices=2,
    )
    schema = {"name": "answer", "strict": True, "schema": {"type": "object"}}
    assert (question.path, question.choices) == (CHAT, 2)
    assert question.body == {
        "model": "org/tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
        "temperature": 0.7,
        "top_k": 5,
        "seed": 3,
        "max_tokens": 9,
        "stop": ["a"],
        "ignore_eos": True,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def test_each_choice_has_its_own_seed():
    """Choice i samples with seed + i, and without a seed all are asked alike."""
    question = ask("vllm", sampling=pb.Sampling(seed=2**63 - 1), choices=3)
    assert [question.of_choice(i)["seed"] for i in range(3)] == [2**63 - 1, 0, 1]
    assert "seed" not in ask("vllm", choices=2).of_choice(1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": "go"}, "go"),
        ({"tokens": pb.TokenIds(ids=[1, 2])}, [1, 2]),
    ],
)
def test_texts_and_tokens_are_completions(fields, said):
    """With a limit, which most servers would choose differently."""
    question = ask("vllm", stopping=pb.Stopping(tokens_max=4), **fields)
    assert (question.path, question.body["prompt"]) == (COMPLETIONS, said)
    with pytest.raises(InvalidArgument) as refused:
        ask("vllm", **fields)
    assert refused.value.metadata["field"] == "stopping.tokens_max"


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        ("other", {"sampling": pb.Sampling(min_p=0.1)}, "sampling.min_p"),
        ("other", {"sampling": pb.Sampling(seed=1)}, "sampling.seed"),
        ("other", {"logprobs": True}, "logprobs"),
        ("other", {"stopping": pb.Stopping(ignore_end=True)}, "stopping.ignore_end"),
        ("other", {"tokens": pb.TokenIds(ids=[1])}, "tokens"),
        ("other", {"output_format": pb.OutputFormat(json_object=True)},
         "output_format.json_object"),
        ("vllm", {"output_format": pb.OutputFormat(regex="a+")}, "output_format.regex"),
        ("vllm", {"text": "go", "logprobs": True}, "logprobs"),
        ("openai", {"sampling": pb.Sampling(top_k=3)}, "sampling.top_k"),
        ("transformers", {"text": "go"}, "text"),
        ("transformers", {"sampling": pb.Sampling(temperature=1)}, "sampling.temperature"),
        ("transformers", {"stopping": pb.Stopping(stop_strings=["a"])}, "stopping.stop_strings"),
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_taken_is_refused_by_name(kind, fields, name):
    """Servers pass over in silence what they do not know."""
    with pytest.raises(InvalidArgument) as refused:
        ask(kind, **fields)
    assert refused.value.reason == "REMOTE_UNSUPPORTED"
    assert refused.value.metadata == {"field": name}
    assert name in refused.value.message


def test_what_asks_for_nothing_passes():
    """A value that changes nothing is not sent, and not refused."""
    idle = pb.Sampling(
        top_p=1, min_p=0, presence_penalty=0, frequency_penalty=0, repetition_penalty=1
    )
    assert ask("transformers", sampling=idle).body == ask("transformers").body


def test_an_answer_is_not_resumed():
    """Ids of one server say nothing to another."""
    with pytest.raises(FailedPrecondition) as refused:
        ask("vllm", resume_token_ids=[1])
    assert refused.value.reason == "RESUME_UNSUPPORTED"


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("parley", {"response_format": {"type": "regex", "regex": "a+"}}),
        ("sglang", {"regex": "a+"}),
    ],
)
def test_expressions_go_by_the_servers_own_name(kind, form):
    """Where it is known."""
    body = ask(kind, output_format=pb.OutputFormat(regex="a+")).body
    assert form.items() <= body.items()


@pytest.mark.parametrize("schema", ["[]", "{", "[" * 60_000])
def test_a_schema_must_be_an_object(schema):
    """As JSON that can be read."""
    with pytest.raises(InvalidArgument) as refused:
        ask("vllm", output_format=pb.OutputFormat(json_schema=schema))
    assert refused.value.reason == "OUTPUT_FORMAT_INVALID"


@pytest.mark.parametrize(
    ("kind", "sampling", "repeats"),
    [
        ("parley", pb.Sampling(temperature=0), True),
        ("parley", pb.Sampling(seed=1), True),
        ("parley", pb.Sampling(temperature=1), False),
        ("vllm", pb.Sampling(temperature=0), False),
    ],
)
def test_only_some_servers_repeat_themselves(kind, sampling, repeats):
    """An answer is called repeatable only where the server's are."""
    assert ask(kind, sampling=sampling).repeatable is repeats


def test_a_count_asks_for_one_token():
    """By the name that the server has for that."""
    counted = to_count(pb.CountTokensRequest(conversation=USER), "m", DIALECTS["openai"])
    assert counted.body["max_completion_tokens"] == 1
    assert "stream" not in counted.body
    with pytest.raises(InvalidArgument):
        to_count(pb.CountTokensRequest(text="go"), "m", DIALECTS["transformers"])


@pytest.mark.parametrize(
    ("owner", "kind"), [("vllm", "vllm"), ("parley", "parley"), ("me", "other"), (["x"], "other")]
)
def test_a_server_is_known_by_its_models_owner(owner, kind):
    """And what nobody knows is trusted with little."""
    assert kind_of(owner) == kind


def test_the_document_has_the_same_table():
    """What is written for operators is what is refused."""
    lines = (ROOT / "docs" / "remote.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    (head,) = [row for row in rows if row[0] == "field"]
    fields = [row for row in rows if len(row) == len(head) and row[1] in ("yes", "no")]
    told = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in fields}
    assert set(head[1:]) == DIALECTS.keys()
    for kind, dialect in DIALECTS.items():
        assert {name for name, row in told.items() if row[kind] == "yes"} == dialect.takes
