"""One thing to try on a server, how it went, and lists of such things."""

from collections.abc import Callable
from dataclasses import dataclass

from services.registry.conformance.verdict import Differs, No
from services.registry.conformance.wire import Wire


@dataclass(frozen=True)
class Call:
    """One thing to try. `needed` says that Parley cannot do without."""

    name: str
    needed: bool
    run: Callable[[Wire], None]


@dataclass(frozen=True)
class Found:
    """How one call went: `verdict` is yes, no or differs, and `words` says how, if not yes."""

    name: str
    needed: bool
    verdict: str
    words: str

    @property
    def fails(self) -> bool:
        """Whether Parley cannot work with this server."""
        return self.needed and self.verdict == "no"


class Calls(list[Call]):
    """The calls of one subject, in the order in which they are tried."""

    def add(
        self, name: str, *, needed: bool
    ) -> Callable[[Callable[[Wire], None]], Callable[[Wire], None]]:
        """Adds the decorated function under the name that the table shows."""

        def adding(run: Callable[[Wire], None]) -> Callable[[Wire], None]:
            self.append(Call(name, needed, run))
            return run

        return adding


def tried(call: Call, wire: Wire) -> Found:
    """Runs one call and says how it went."""
    verdict, words = "yes", ""
    try:
        call.run(wire)
    except Differs as told:
        verdict, words = "differs", str(told)
    except No as told:
        verdict, words = "no", str(told)
    except (OSError, ValueError) as error:
        verdict, words = "no", f"no answer that can be read: {type(error).__name__}"
    return Found(call.name, call.needed, verdict, words)
