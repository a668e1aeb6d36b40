"""One call of MLflow's REST interface, over http(s) or a unix socket: its deadline, its key, its
errors.

MLflow's errors become ours here. Knows nothing of what is called.
"""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import structlog

from services.rpc.errors import Internal, Unavailable
from services.rpc.settings import secret

log = structlog.get_logger()

UNIX = "unix:"
API = "/api/2.0/mlflow/"
CONNECTIONS_MAX = 8
BUSY = {429, 500, 502, 503, 504}
MISSING = ("RESOURCE_DOES_NOT_EXIST",)
EXISTS = ("RESOURCE_ALREADY_EXISTS",)

Json = dict[str, Any]


class MlflowWire:
    """A client of one MLflow server: `unix:/path`, or an http(s) address."""

    def __init__(self, address: str, token_file: Path | None, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._token_file = token_file
        socket = address.removeprefix(UNIX) if address.startswith(UNIX) else None
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
        self._http = httpx.AsyncClient(
            # MLflow looks at the host that a request names; it always knows this one.
            base_url="http://localhost" if socket else address.rstrip("/"),
            transport=httpx.AsyncHTTPTransport(uds=socket, limits=limits),
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self._http.aclose()

    async def ask(
        self, verb: str, path: str, fields: Json, *, forgive: Collection[str] = ()
    ) -> Json:
        """Calls MLflow and reads its answer: an empty one where its error is one of `forgive`.

        Raises Unavailable when MLflow is away or slow, Internal when it refuses.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._http.request(
                    verb,
                    API + path,
                    headers=self._key(),
                    params=fields if verb == "GET" else None,
                    json=None if verb == "GET" else fields,
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise _away() from error
        return _read(path, answer, forgive)

    def _key(self) -> dict[str, str]:
        # Read each time: a token that was renewed needs no restart.
        return {"Authorization": f"Bearer {secret(self._token_file)}"} if self._token_file else {}


def _read(path: str, answer: httpx.Response, forgive: Collection[str]) -> Json:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.is_success and isinstance(body, dict):
        return body
    code = body.get("error_code", "") if isinstance(body, dict) else ""
    if code and code in forgive:
        return {}
    log.warning("mlflow refused", path=path, status=answer.status_code, code=code)
    if answer.status_code in BUSY or not code:
        raise _away()
    raise Internal(
        f"MLflow refused what it was asked ({code}). The log of the service says more.",
        reason="MLFLOW_REFUSED",
        metadata={"code": code},
    )


def _away() -> Unavailable:
    return Unavailable(
        "MLflow does not answer. Ask again.", reason="MLFLOW_UNAVAILABLE", retry_after_s=1
    )
