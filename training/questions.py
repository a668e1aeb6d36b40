"""Other ways to put an English question, found by its grammar: "what is X" also as "what X is".

A few rules for the usual shapes of questions, not a parser: what fits no rule is left as it is.
Knows nothing of answers, frames or models.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WH = r"(?:who|whom|whose|what|where|when|why|which|how)\b"
_BE = r"(?:is|are|was|were)"
_MODAL = r"(?:can|may|must|should|will|could|would|might)"
_PRONOUN = r"(?:i|you|we|one|they|he|she|it|there)"
_WH_BE = re.compile(rf"^({_WH}(?: \w+)??) ({_BE}) (.+)$", re.IGNORECASE)
_WH_DO = re.compile(rf"^({_WH}.*?) (do|does) (.+)$", re.IGNORECASE)
_WH_MODAL = re.compile(rf"^({_WH}.*?) ({_MODAL}) (.+)$", re.IGNORECASE)
_YES_NO = re.compile(rf"^({_BE}|{_MODAL}|do) ((?:the|a|an|my|our|your|this) \w+|\w+) (.+)$", re.I)
_SUBJECT = re.compile(rf"^({_PRONOUN}) (.+)$", re.IGNORECASE)
_TAIL = re.compile(
    r"^(.*?)((?:\S+?(?:ed|en)|made|open|born|called|worn|held)(?: (?:of|in|by|at))?)$"
)
_VERB = re.compile(r"^(.+?) (\w+)((?: (?:in|to|of|from|on|for|with|at))?)$")
_OF_NAME = re.compile(r"\bthe ([a-z][\w ]*?) of ((?:the )?[A-Z]\w+)$")
_FIRST = re.compile(rf"^(?:{_WH}|{_BE}\b|{_MODAL}\b|do\b|does\b|did\b|has\b|have\b)", re.IGNORECASE)
_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an the is are was were be do does did can may must should will could would i you we my "
        "your our it there of to in on at for from with by and or please me",
    )
)
_EQUALS = (
    (r"^how much (?:do|does) (.+) cost$", ("what does {} cost", "what is the price of {}")),
    (r"^how much (?:is|are) (.+)$", ("what does {} cost", "what is the price of {}")),
    (r"^what is the price of (.+)$", ("how much does {} cost", "what does {} cost")),
    (r"^when (?:is|are) (.+)$", ("what is the date of {}", "what day is {}")),
    (r"^how long does (.+) take$", ("how much time does {} take",)),
    (r"^who is the (.+)$", ("what is the name of the {}",)),
    (r"^where is (.+)$", ("what is the place of {}", "where can I find {}")),
)
"""Questions that ask for the same thing in other words."""


@dataclass(frozen=True)
class Forms:
    """The forms of a question that frames are put around; see training.knowledge.Intent."""

    direct: tuple[str, ...] = ()
    clause: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()


def is_question(text: str) -> bool:
    """Whether a text is one short question, so that there are other ways to put it."""
    body = text.strip()
    return (
        len(body) <= 200
        and not re.search(r"[\n.!?;]\s+\S", body)
        and (body.endswith("?") or _FIRST.match(body) is not None)
    )


def forms(question: str) -> Forms:
    """Every form that the rules find; the question itself is the first of `direct`."""
    plain = _lower_first(question.strip().rstrip("?.! "))
    direct = list(_unique([plain, *_equals(plain)]))
    clause = [found for one in direct for found in _clauses(one)]
    bare = [found for one in direct for found in _bares(one)]
    return Forms(_owned(direct), _owned(clause), _owned(bare))


def keywords(question: str) -> list[str]:
    """The words that carry what is asked, in order."""
    words = re.findall(r"[\w'-]+", question)
    return [word for word in words if word.lower() not in _FILLERS] or words


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:] if _FIRST.match(text) else text


def _equals(question: str) -> Iterator[str]:
    for pattern, others in _EQUALS:
        if match := re.match(pattern, question):
            yield from (other.format(match[1]) for other in others)


def _clauses(question: str) -> Iterator[str]:
    """What follows "tell me"."""
    if match := _WH_MODAL.match(question):
        yield from _with_modal(*match.groups())
    elif match := _WH_DO.match(question):
        yield from _without_do(*match.groups())
    elif match := _WH_BE.match(question):
        yield _with_be_last(*match.groups())
    elif match := _YES_NO.match(question):
        verb, subject, rest = match.groups()
        inner = f"{subject} {rest}" if verb.lower() == "do" else f"{subject} {verb} {rest}"
        yield from (f"if {inner}", f"whether {inner}")
    if re.match(_WH, question, re.IGNORECASE):
        yield question


def _with_be_last(wh: str, be: str, rest: str) -> str:
    if match := _TAIL.match(rest):
        return f"{wh} {match[1]}{be} {match[2]}" if match[1] else f"{wh} {be} {rest}"
    return f"{wh} {rest} {be}"


def _with_modal(wh: str, modal: str, rest: str) -> Iterator[str]:
    if match := _SUBJECT.match(rest):
        yield f"{wh} {match[1]} {modal} {match[2]}"
        yield f"{wh} to {match[2]}"
    elif match := _VERB.match(rest):
        yield f"{wh} {match[1]} {modal} {match[2]}{match[3]}"


def _without_do(wh: str, do: str, rest: str) -> Iterator[str]:
    if do == "do" and (match := _SUBJECT.match(rest)):
        yield f"{wh} {rest}"
        yield f"{wh} to {match[2]}"
    elif do == "do":
        yield f"{wh} {rest}"
    elif match := _VERB.match(rest):
        yield f"{wh} {match[1]} {_third_person(match[2])}{match[3]}"


def _third_person(verb: str) -> str:
    irregular = {"have": "has", "do": "does", "be": "is"}
    if verb in irregular:
        return irregular[verb]
    if re.search(r"(?:s|sh|ch|x|z|o)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


def _bares(question: str) -> Iterator[str]:
    """A few words, as in a search box."""
    match = _WH_BE.match(question)
    if match and match[1].lower() in {"what", "who"}:
        yield match[3]
        yield re.sub(r"^(?:the|a|an) ", "", match[3])
        yield f"about {match[3]}"
    yield " ".join(keywords(question))


def _owned(found: list[str]) -> tuple[str, ...]:
    """Also with "the X of Name" as "Name's X"."""
    return tuple(_unique([*found, *(_OF_NAME.sub(r"\2's \1", one) for one in found)]))


def _unique(texts: list[str]) -> Iterator[str]:
    yield from dict.fromkeys(text for text in texts if text)
