"""Finding versions by what people and answers call them."""

import re

from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry import audit, catalog
from services.registry.lineage import read_origin
from services.registry.model import CHAMPION, AuditEntry, Version
from services.rpc.errors import InvalidArgument, NotFound

_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_DIGITS = re.compile(r"[0-9a-f]{12,64}", re.ASCII)


async def get_named(tx: AsyncConnection, name: str, asked: str) -> Version:
    """Gets a model's version by its number, alias, or at least 12 digits of its digest.

    Raises NotFound.
    """
    model = await catalog.get_model(tx, name)
    if _NUMBER.fullmatch(asked):
        return await catalog.get_version(tx, name, int(asked))
    found = None
    if asked == CHAMPION and model.champion:
        found = await catalog.find_version(tx, name, model.champion)
    elif _DIGITS.fullmatch(asked):
        found = await catalog.find_by_digest(tx, name, asked)
    if found is None:
        raise catalog.version_not_found(name, asked)
    return found


async def follow_answer(tx: AsyncConnection, response_id: str) -> tuple[Version, AuditEntry, int]:
    """Finds the version that gave an answer, what made it take traffic, and the revision.

    Raises InvalidArgument when the id is no answer's, NotFound when nothing here gave it.
    """
    origin = read_origin(response_id)
    if origin is None:
        raise InvalidArgument(
            "This is not the id of an answer of a registered version.",
            reason="INVALID_FIELD",
            metadata={"field": "response_id"},
        )
    # Two models may have the same files under the same number: only what was deployed answers.
    for version in await catalog.list_answering(tx, origin.digits, origin.number):
        deployment = await audit.find_deployment(tx, version.model, origin.revision)
        if deployment is not None:
            return version, deployment, origin.revision
    raise NotFound(
        "No version here gave this answer.",
        reason="ANSWER_NOT_FOUND",
        metadata={"response_id": response_id},
    )
