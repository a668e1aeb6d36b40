"""Keeps other sites from using the page's cookie.

A browser says who makes it ask: Sec-Fetch-Site where it knows it, else Origin. Programs with a key
of their own send neither and are let through; the key was checked before the facade.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.errors import ApiError

COOKIE = "parley_session"
_OWN = frozenset({"same-origin", "none"})
_KEY_HEADERS = ("authorization", "x-api-key")


def check_cookie_use(request: Request) -> None:
    """Raises ApiError 403 when another site uses the cookie. A request with a key passes."""
    if any(name in request.headers for name in _KEY_HEADERS):
        return
    if COOKIE in request.cookies:
        check_same_origin(request)


def check_same_origin(request: Request) -> None:
    """Raises ApiError 403 when a browser says that another site makes the request."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site in _OWN or (site is None and origin is None):
        return
    if site is None and _host_of(origin or "") == request.headers.get("host", "").lower():
        return
    raise ApiError(
        403,
        "permission_error",
        "cross_origin",
        "Another site may not use this page's session. Open the page itself, or use an API key.",
    )


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
