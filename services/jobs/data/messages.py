"""Feedback and datasets as messages of parley.jobs.v1, and back."""

from google.protobuf.timestamp_pb2 import Timestamp
from parley.jobs.v1 import feedback_pb2 as pb

from services.jobs.data.datasets import Dataset
from services.jobs.data.entries import Entry, Filter, Rating, Turn, Word
from services.rpc.errors import InvalidArgument

CONVERSATION_BYTES_MAX = 1 << 20
RATINGS = {Rating.GOOD: pb.RATING_GOOD, Rating.BAD: pb.RATING_BAD}


def to_word(request: pb.GiveFeedbackRequest, given_by: str) -> Word:
    """Reads a word. Raises InvalidArgument for what the contract's rules do not catch."""
    turns = tuple(Turn(turn.role, turn.content) for turn in request.conversation)
    if sum(len(turn.content.encode()) for turn in turns) > CONVERSATION_BYTES_MAX:
        raise InvalidArgument(
            f"The conversation is longer than {CONVERSATION_BYTES_MAX >> 20} MiB. Send its end.",
            reason="INVALID_FIELD",
            metadata={"field": "conversation"},
        )
    for field in ("response_id", "correction", "reason"):
        check_text(field, getattr(request, field))
    for turn in turns:
        check_text("conversation", turn.content)
    (rating,) = (mine for mine, theirs in RATINGS.items() if theirs == request.rating)
    return Word(
        given_by=given_by,
        response_id=request.response_id,
        choice=request.choice,
        rating=rating,
        correction=request.correction,
        reason=request.reason,
        conversation=turns,
    )


def to_filter(request: pb.ListFeedbackRequest) -> Filter:
    """Reads which entries are asked for. Raises InvalidArgument."""
    for field in ("model", "response_id"):
        check_text(field, getattr(request, field))
    return Filter(request.model, request.response_id, request.dataset_digest)


def from_entry(entry: Entry) -> pb.FeedbackEntry:
    """Writes an entry."""
    time = Timestamp()
    time.FromDatetime(entry.time)
    word, origin = entry.word, entry.origin
    return pb.FeedbackEntry(
        response_id=word.response_id,
        choice=word.choice,
        rating=RATINGS[word.rating],
        correction=word.correction,
        reason=word.reason,
        conversation=[pb.Turn(role=turn.role, content=turn.content) for turn in word.conversation],
        given_by=word.given_by,
        time=time,
        model=origin.model,
        version=origin.version,
        run_id=origin.run_id,
        dataset_digest=origin.dataset_digest,
    )


def from_dataset(dataset: Dataset) -> pb.Dataset:
    """Writes a dataset."""
    return pb.Dataset(
        digest=dataset.digest,
        name=dataset.name,
        rows=dataset.rows,
        size_bytes=dataset.size_bytes,
        uri=dataset.uri,
    )


def check_text(field: str, text: str) -> None:
    """Raises InvalidArgument when a text cannot be kept."""
    # PostgreSQL keeps every character but this one.
    if "\0" in text:
        raise InvalidArgument(
            f"{field}: must not hold the character NUL.",
            reason="INVALID_FIELD",
            metadata={"field": field},
        )
