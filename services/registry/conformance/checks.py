"""What every call looks at in an answer."""

from services.registry.conformance.verdict import Differs, No
from services.registry.conformance.wire import Answer


def done(answer: Answer, status: int = 200) -> Answer:
    """Passes an answer that says the thing was done."""
    if not 200 <= answer.status < 300:
        raise No(f"answered with {answer.told}")
    if answer.status != status:
        raise Differs(f"{answer.status} instead of {status}")
    return answer


def refused(answer: Answer, *statuses: int) -> None:
    """Passes an answer that refuses, best with one of the statuses of S3."""
    if answer.status < 400:
        raise No(f"not refused: {answer.told}")
    if answer.status not in statuses:
        raise Differs(f"refused with {answer.told} instead of {statuses[0]}")


def same(found: object, wanted: object, what: str) -> None:
    """Passes what is as it must be."""
    if found != wanted:
        raise No(f"{what} is wrong")
