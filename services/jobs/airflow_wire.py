"""One call of Airflow's REST interface: its deadline, its token, its errors.

Airflow's errors become ours here. Knows nothing of what is called.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import httpx
import structlog

from services.rpc.errors import Internal, InvalidArgument, ParleyError, Unavailable
from services.rpc.settings import secret

log = structlog.get_logger()

API = "/api/v2"
TOKEN = "/auth/token"  # noqa: S105 (a path)
# Airflow's tokens live for a day unless it is told otherwise.
TOKEN_S = 3600.0
CONNECTIONS_MAX = 8
WORDS_MAX = 500
MISSING, CONFLICT = 404, 409
REFUSED = {400, 422}
UNKNOWN_TO_AIRFLOW = 401

Json = dict[str, Any]


class AirflowWire:
    """A client of one Airflow API server, as one user."""

    def __init__(self, url: str, user: str, password_file: Path, deadline_s: float) -> None:
        self._user = user
        self._password_file = password_file
        self._deadline_s = deadline_s
        self._token = ""
        self._token_made_s = 0.0
        self._one = asyncio.Lock()
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"), limits=httpx.Limits(max_connections=CONNECTIONS_MAX)
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self._http.aclose()

    async def ask(
        self,
        verb: str,
        path: str,
        fields: Json | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        forgive: Collection[int] = (),
    ) -> Json | None:
        """Calls Airflow and reads its answer; None where its status is one of `forgive`.

        Raises Unavailable when Airflow is away or slow, InvalidArgument with its words when it
        refuses what is asked, Internal when it refuses us.
        """
        answer = await self._try(verb, path, fields, query)
        if answer.status_code == UNKNOWN_TO_AIRFLOW:
            self._token = ""  # It ended early, or Airflow has a new secret.
            answer = await self._try(verb, path, fields, query)
        if answer.status_code in forgive:
            return None
        return _read(path, answer)

    async def _try(
        self, verb: str, path: str, fields: Json | None, query: Mapping[str, Any] | None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {await self._ensure_token()}"}
        return await self._send(verb, API + path, json=fields, params=query, headers=headers)

    async def _ensure_token(self) -> str:
        async with self._one:
            if not self._token or time.monotonic() - self._token_made_s > TOKEN_S:
                body = {"username": self._user, "password": secret(self._password_file)}
                made = _read(TOKEN, await self._send("POST", TOKEN, json=body))
                self._token = str(made["access_token"])
                self._token_made_s = time.monotonic()
            return self._token

    async def _send(self, verb: str, path: str, **rest: Any) -> httpx.Response:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._http.request(verb, path, **rest)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _away() from error


def _read(path: str, answer: httpx.Response) -> Json:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.is_success and isinstance(body, dict):
        return body
    words = str(body.get("detail", "") if isinstance(body, dict) else "")[:WORDS_MAX]
    log.warning("airflow refused", path=path, status=answer.status_code, words=words)
    raise _error(answer.status_code, words)


def _error(status: int, words: str) -> ParleyError:
    if status in REFUSED:
        return InvalidArgument(f"Airflow refused it: {words}", reason="AIRFLOW_REFUSED")
    if status in (UNKNOWN_TO_AIRFLOW, 403):
        return Internal(
            "Airflow does not know our user, or lets it do too little. Look at its users.",
            reason="AIRFLOW_LOGIN",
        )
    # 404 of what must be there: Airflow reads its DAGs for a while after it has begun to answer.
    return _away()


def _away() -> Unavailable:
    return Unavailable(
        "Airflow does not answer. Ask again.", reason="AIRFLOW_UNAVAILABLE", retry_after_s=2
    )
