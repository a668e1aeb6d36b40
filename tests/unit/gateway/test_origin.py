"""Who may use the page's cookie."""

import pytest
from starlette.requests import Request

from gateway.errors import ApiError
from gateway.origin import check_cookie_use

COOKIE = {"cookie": "parley_session=k", "host": "127.0.0.1:8080"}


def _request(**headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in (COOKIE | named).items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://[bad"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:3000"},
        {"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:8080"},
    ],
)
def test_another_site_may_not_use_the_cookie(headers: dict[str, str]) -> None:
    """Cookies know no port, so neighbours on this machine count as others too."""
    with pytest.raises(ApiError) as caught:
        check_cookie_use(_request(**headers))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:8080"},
        {"sec_fetch_site": "same-origin", "origin": "null"},
        {"sec_fetch_site": "none"},
        {"origin": "app://client", "authorization": "Bearer k"},
        {"origin": "app://client", "x_api_key": "k"},
    ],
)
def test_the_page_and_holders_of_a_key_pass(headers: dict[str, str]) -> None:
    """A key is no cookie: no other site can make a browser send it."""
    check_cookie_use(_request(**headers))
