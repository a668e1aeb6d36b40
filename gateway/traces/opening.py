"""Traces as the settings ask for them."""

import logging

from gateway.settings import GatewaySettings
from gateway.traces.ended import Recorder
from services.rpc.settings import secret


def open_traces(settings: GatewaySettings) -> Recorder | None:
    """The recorder of spans, or None where they are turned off.

    Raises ValueError or OSError when the token's file is missing or open to others.
    """
    if not settings.traces_address:
        return None
    # Half a second of imports that a facade without traces does without.
    from gateway.traces.mlflow import MlflowExporter
    from gateway.traces.recorder import Traces

    # It would log each batch.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    token = secret(settings.traces_token_file) if settings.traces_token_file else ""
    exporter = MlflowExporter(settings.traces_address, token)
    return Traces(exporter, settings.traces_share, content=settings.traces_content)
