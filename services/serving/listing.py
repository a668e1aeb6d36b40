"""What a replica says of its versions, page by page, on the wire."""

from collections.abc import Sequence

from parley.serving.v1 import model_serving_pb2 as pb

from services.rpc.errors import InvalidArgument
from services.serving.engine import Load
from services.serving.replica import Report
from services.serving.routing import Phase

PAGE_SIZE = 100
PHASES = {
    Phase.FETCHING: pb.MODEL_STATE_LOADING,
    Phase.STORED: pb.MODEL_STATE_LOADING,
    Phase.LOADING: pb.MODEL_STATE_LOADING,
    Phase.READY: pb.MODEL_STATE_READY,
    Phase.DRAINING: pb.MODEL_STATE_DRAINING,
    Phase.CLOSING: pb.MODEL_STATE_DRAINING,
    Phase.BROKEN: pb.MODEL_STATE_FAILED,
    Phase.FAILED: pb.MODEL_STATE_FAILED,
}


def page(reports: Sequence[Report], size: int, token: str) -> tuple[Sequence[Report], str]:
    """The reports after those that `token` ends with, at most `size` of them, and the next token.

    A token names the last version of its page. Raises InvalidArgument for one that names none.
    """
    start = 0
    if token:
        names = [str(report.version.key) for report in reports]
        if token not in names:
            raise InvalidArgument(
                "This page token was not made by this server, or its version is gone. Begin again.",
                reason="INVALID_FIELD",
                metadata={"field": "page_token"},
            )
        start = names.index(token) + 1
    shown = reports[start : start + size]
    more = start + size < len(reports)
    return shown, str(shown[-1].version.key) if more else ""


def to_loaded_model(report: Report) -> pb.LoadedModel:
    """One version on the wire."""
    version, loaded = report.version, report.loaded
    load = loaded.engine.load if loaded else Load()
    return pb.LoadedModel(
        model=version.key.model,
        version=version.key.version,
        state=PHASES[report.phase],
        context_tokens_max=loaded.model.context_tokens_max if loaded else 0,
        running=load.running,
        waiting=loaded.waiting if loaded else 0,
        cache_usage=load.cache_usage,
        engine_restarts=loaded.engine.restarts if loaded else 0,
        digest=version.key.digest,
        run_id=version.run_id,
        dataset_digest=version.dataset_digest,
        revision=report.revision,
        aliases=version.aliases,
        weight=report.weight,
        detail=report.detail,
    )
