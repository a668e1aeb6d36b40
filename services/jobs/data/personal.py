"""Whether a text holds personal data or a secret, which nothing may learn. Pure.

Rules, not understanding: addresses, numbers that belong to one person, and keys. A row that holds
one is left out whole. Names are not found. Where a number could be something harmless, its check
digits decide.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable

_PLAIN = {
    "e-mail address": r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.[^\W\d]{2,24}\b",
    "phone number": r"(?<![\w+.])(?<!\d[ ./-])(?:"
    # With the country's number, with an area in brackets, in three groups, or from a leading zero,
    # which days of months have as well.
    r"\+\d{1,3}(?:[ ./()-]{0,2}\d){6,12}"
    r"|(?:1[ .-])?\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,5}"
    r"|(?:1[ .-])?[2-9]\d{2}([ .-])\d{3}\1\d{4}"
    r"|(?!\d\d?[/.-]\d\d?[/.-]\d)0(?!00)(?=(?:[ /.-]?\d){7})"
    r"\d{1,4}[ /.-]?\d{2,4}(?:[ /.-]?\d{2,4}){1,3}"
    r")(?![\w-])(?!\.\d)",
    "national number": r"(?<![\w-])(?:"
    r"\d{3}-\d{2}-\d{4}"  # United States
    r"|(?i:[a-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[a-d])"  # United Kingdom
    r"|(?i:[a-z]{6}\d{2}[a-z]\d{2}[a-z]\d{3}[a-z])"  # Italy
    r"|(?i:\d{8}-?[a-hj-np-tv-z]|[xyz]-?\d{7}-?[a-hj-np-tv-z])"  # Spain
    r"|[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d[\dABab] ?\d{3} ?\d{3} ?\d{2}"  # France
    r"|\d{3}\.\d{3}\.\d{3}-\d{2}"  # Brazil
    r"|[2-9]\d{3}[ -]\d{4}[ -]\d{4}(?! \d)"  # India
    r")(?![\w-])",
    "key": r"(?<![A-Za-z0-9])(?:"
    r"[sprk]k[-_](?=[A-Za-z_-]{0,64}\d)[A-Za-z0-9_-]{16,}"
    r"|A[KS]IA[0-9A-Z]{16}(?![0-9A-Z])"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|xox[abeprs]-[\w-]{10,}|hf_[A-Za-z0-9]{30,}|AIza[\w-]{35}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r")|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY",
}
# Ahead of each place, since what precedes or follows a number may look like a part of it.
_CARD = re.compile(r"(?<![\w.-])(?=([2-6](?:[ -]?\d){12,18})(?![\w-]))")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?!\w)", re.IGNORECASE | re.ASCII)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
_CARD_DIGITS = range(13, 20)
_IBAN_CHARACTERS = range(15, 35)


def find_personal(text: str) -> str | None:
    """Finds out what kind of personal data a text holds; None if none of the rules finds any."""
    plain = text if text.isascii() else _plain(text)
    return next((kind for kind, finds in _RULES.items() if finds(plain)), None)


def _plain(text: str) -> str:
    """Other forms of the same digits and letters, and what is invisible between them, hide
    nothing."""
    visible = "".join(
        character
        for character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(character) != "Cf"
    )
    return re.sub(r"[‐-―−]", "-", visible)


def _has_card(text: str) -> bool:
    return any(
        _passes_luhn(candidate)
        for found in _CARD.findall(text)
        for candidate in _beginnings(found, _CARD_DIGITS)
    )


def _passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


def _has_iban(text: str) -> bool:
    return any(
        _passes_mod_97(candidate)
        for found in _IBAN.findall(text)
        for candidate in _beginnings(found.upper(), _IBAN_CHARACTERS)
    )


def _beginnings(found: str, lengths: range) -> Iterable[str]:
    """A number with and without the groups that follow it."""
    groups = re.split(r"[ -]", found)
    for count in range(len(groups), 0, -1):
        joined = "".join(groups[:count])
        if len(joined) in lengths:
            yield joined


def _passes_mod_97(account: str) -> bool:
    turned = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _has_ip_address(text: str) -> bool:
    # A digit: "a::b" is a name in C++.
    found = [*_IPV4.findall(text), *(one for one in _IPV6.findall(text) if re.search(r"\d", one))]
    return any(_belongs_to_someone(candidate) for candidate in found)


def _belongs_to_someone(candidate: str) -> bool:
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _searching(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).search


_RULES: dict[str, Callable[[str], object]] = {
    **{kind: _searching(pattern) for kind, pattern in _PLAIN.items()},
    "payment card": _has_card,
    "bank account": _has_iban,
    "IP address": _has_ip_address,
}
