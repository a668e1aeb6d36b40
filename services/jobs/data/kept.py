"""Statements on the table of feedback. Each runs in the caller's transaction."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.jobs.data.entries import Entry, Filter, Origin, Rating, Turn, Word
from services.jobs.data.tables import FEEDBACK

# Rows that are held at a time: one may be a megabyte.
BATCH_ROWS = 16


async def keep(tx: AsyncConnection, word: Word, origin: Origin) -> Entry:
    """Keeps a word, in the place of what the same person said of the same choice before."""
    fields = asdict(word) | asdict(origin)
    added = insert(FEEDBACK).values(fields)
    replaced = {name: added.excluded[name] for name in (*fields, "id", "time")}
    kept = added.on_conflict_do_update(constraint="feedback_once", set_=replaced)
    return _to_entry((await tx.execute(kept.returning(FEEDBACK))).mappings().one())


async def list_page(
    tx: AsyncConnection, asked: Filter, before: int | None, size: int, bytes_max: int
) -> tuple[list[Entry], int]:
    """Lists the entries of one page, newest first, below the id `before`, and one more if there is.

    Returns also how many belong on the page: as many as `bytes_max` holds, but at least one.
    """
    found: list[Entry] = []
    fitting, total = 0, 0
    async with aclosing(walk(tx, asked, before, size + 1)) as batches:
        async for batch in batches:
            for entry in batch:
                found.append(entry)
                total += _size_bytes(entry.word)
                if total > bytes_max and fitting:
                    return found, fitting
                fitting = min(len(found), size)
    return found, fitting


async def walk(
    tx: AsyncConnection, asked: Filter, before: int | None = None, count: int | None = None
) -> AsyncGenerator[Sequence[Entry]]:
    """Goes through entries, newest first, a few at a time; all are of one moment."""
    statement = sa.select(FEEDBACK).order_by(FEEDBACK.c.id.desc()).limit(count)
    for name, value in asdict(asked).items():
        if value:
            statement = statement.where(FEEDBACK.c[name] == value)
    if before is not None:
        statement = statement.where(FEEDBACK.c.id < before)
    found = await tx.stream(statement)
    try:
        async for rows in found.mappings().partitions(BATCH_ROWS):
            yield [_to_entry(row) for row in rows]
    finally:
        # Not by `async with`, which leaves the cursor open where this generator is closed early.
        await found.close()


def _size_bytes(word: Word) -> int:
    texts = [word.correction, word.reason, *(turn.content for turn in word.conversation)]
    return sum(len(text.encode()) for text in texts)


def _to_entry(row: sa.RowMapping) -> Entry:
    fields = {name: row[name] for name in Word.__slots__}
    fields["rating"] = Rating(row["rating"])
    fields["conversation"] = tuple(Turn(**turn) for turn in row["conversation"])
    origin = Origin(**{name: row[name] for name in Origin.__slots__})
    return Entry(row["id"], row["time"], Word(**fields), origin)
