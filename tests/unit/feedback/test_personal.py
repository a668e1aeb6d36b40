"""What counts as personal data."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.data.personal import find_personal

FOUND = {
    "e-mail address": [
        "a@b.de",
        "write to Ada.Lovelace+x@example.co.uk.",
        "müller@bücher.example",
        "a@b\u200b.de",
        "<mailto:ada@example.org>",
    ],
    "phone number": [
        "call +49 30 1234567",
        "+4915112345678",
        "+1 (415) 555-2671",
        "(415) 555-2671",
        "415-555-2671",
        "1-415-555-2671",
        "030 12345678",
        "0151/23456789",
        "01 42 68 53 00",
        "+4\u201191512345678",
        "00 49 30 1234567",
    ],
    "payment card": [
        "4111 1111 1111 1111",
        "my card is 4111111111111111.",
        "5500-0000-0000-0004",
        "3782 822463 10005",
        "４１１１ １１１１ １１１１ １１１１",
        "4111 1111 1111 1111 12",
        "12 4111 1111 1111 1111",
    ],
    "bank account": [
        "DE89 3704 0044 0532 0130 00",
        "my iban is de89370400440532013000 please pay",
        "gb82 west 1234 5698 7654 32 soon",
    ],
    "IP address": ["192.168.1.17", "It is 8.8.8.8.", "2001:db8::1", "fe80::1ff:fe23:4567:890a"],
    "national number": [
        "078-05-1120",
        "QQ 12 34 56 C",
        "12345678Z",
        "RSSMRA85T10A562S",
        "123.456.789-09",
        "1 85 05 78 006 084 36",
    ],
    "key": [
        "sk-proj-abcdefghij0123456789",
        "sk_live_abcdefghij0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "ghp_" + "a1" * 18,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXg",
    ],
}
NOT_FOUND = [
    "What is 12 + 30?",
    "1234567",
    "in 02/2024, 0800 and 007 42",
    "In 1990-2000 and on 2024-01-15, 15.01.2024, 01/02/2024",
    "on 01-02-2024 at 01.02.2024 10:00",
    "2024-11-25 19:20:11, from 08:15 to 09:30",
    "std::vector a::b",
    "3.141592653589793238",
    "100 000 000 and 5 000 000 000 000",
    "4111 1111 1111 1112",
    "DE00 3704 0044 0532 0130 00",
    "localhost is 127.0.0.1 or ::1",
    "ISBN 978-3-16-148410-0",
    "2^64 = 18446744073709551616",
    "0 1 1 2 3 5 8 13 21 34 55",
    "E = mc2, a@b, @home",
    "sk-learn-compatible-estimators and risk-free",
    "00:11:22:33",
    "version 5.18.0",
    "10 20 30 40 50",
]


@pytest.mark.parametrize("text", [*chain(*FOUND.values())])
def test_personal_data_are_found(text: str):
    """In each form that people write them in, also where some try to hide them."""
    assert find_personal(text)
    assert find_personal(f"Some words. {text}\nMore words.")


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kind, FOUND[kind][0]) for kind in FOUND if kind != "national number"],
)
def test_the_kind_is_told(kind: str, text: str):
    """For whoever wants to know why."""
    assert find_personal(text) == kind


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_is_harmless_is_left(text: str):
    """Sums, dates, times, versions and code are not personal."""
    assert find_personal(text) is None


@given(st.integers(10**14, 10**15 - 1), st.sampled_from(["", " ", "-"]))
def test_every_card_number_is_found(digits: int, space: str):
    """Whatever its digits, if only the last one is the check digit of the others."""
    body = f"4{digits:015d}"[:15]
    card = next(body + str(last) for last in range(10) if _luhn(body + str(last)))
    assert find_personal(space.join(card[at : at + 4] for at in range(0, 16, 4)))


def _luhn(card: str) -> bool:
    table = "0246813579"
    return sum(int(table[int(d)]) if n % 2 else int(d) for n, d in enumerate(card[::-1])) % 10 == 0


@given(st.text(st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), min_size=12, max_size=28))
def test_every_account_number_is_found(body: str):
    """Whatever its characters, if its check digits are right."""
    turned = "".join(str(int(character, 36)) for character in f"{body}GB00")
    account = f"GB{98 - int(turned) % 97:02d}{body}"
    assert find_personal(" ".join(account[at : at + 4] for at in range(0, len(account), 4)))


@given(st.text(max_size=200) | st.text(st.sampled_from("GB82WESTgbİıſK0123456789 -.:@+")))
def test_any_text_can_be_looked_at(text: str):
    """Nothing that people type breaks it."""
    find_personal(text)
