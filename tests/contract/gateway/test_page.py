"""Signing in, and the page's files under their policy."""

import hashlib
from pathlib import Path

import pytest

from tests.fakes.facade import PAGE_KEY, Facade


def _make_token(facade: Facade, token: str) -> None:
    name = hashlib.sha256(token.encode()).hexdigest()
    (facade.settings.login_tokens_dir / name).touch(mode=0o600)


def _build_page(facade: Facade) -> Path:
    assets = facade.settings.chat_dir / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "index.html").write_text("<!doctype html><title>Parley</title>")
    (assets / "main-PH5IY4RG.js").write_text("export {}")
    (assets / "mark.svg").write_text("<svg/>")
    return assets


async def test_link_signs_in_once(facade: Facade) -> None:
    """The cookie is set as no script and no other site can use it; the second time fails."""
    _make_token(facade, "T")
    reply = await facade.http.get("/login", params={"token": "T"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    cookie = reply.headers["set-cookie"].split("; ")
    assert cookie[0] == f"parley_session={PAGE_KEY}"
    assert {part.lower() for part in cookie[1:]} == {"httponly", "samesite=strict", "path=/"}
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    again = await facade.http.get("/login", params={"token": "T"})
    assert (again.status_code, again.headers["location"]) == (303, "/?login=failed")
    assert "set-cookie" not in again.headers


async def test_login_without_a_token_leads_to_the_page(facade: Facade) -> None:
    """Which asks for one."""
    reply = await facade.http.get("/login")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")


async def test_form_signs_in(facade: Facade) -> None:
    """As the page sends it, from its own origin."""
    _make_token(facade, "T")
    reply = await facade.http.post("/login", data={"token": "T"}, headers={"origin": facade.url})
    assert reply.status_code == 303
    assert PAGE_KEY in reply.headers["set-cookie"]


@pytest.mark.parametrize("form", [{"token": "wrong"}, {"token": PAGE_KEY}, {}])
async def test_form_with_a_wrong_token_is_a_401(facade: Facade, form: dict[str, str]) -> None:
    """In OpenAI's shape, with no cookie; the cookie's own key is no token."""
    reply = await facade.http.post("/login", data=form)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_token")
    assert "set-cookie" not in reply.headers


async def test_form_of_another_site_is_a_403(facade: Facade) -> None:
    """And leaves the token unused."""
    _make_token(facade, "T")
    reply = await facade.http.post(
        "/login", data={"token": "T"}, headers={"origin": "http://evil.example"}
    )
    assert reply.status_code == 403
    assert list(facade.settings.login_tokens_dir.iterdir())


@pytest.mark.parametrize("body", [b"x" * 5000, b"\xff=\xff", b"&".join([b"a=1"] * 50)])
async def test_form_that_is_none_is_a_4xx(facade: Facade, body: bytes) -> None:
    """Too long, not ASCII, too many fields."""
    assert 400 <= (await facade.http.post("/login", content=body)).status_code < 500


async def test_chat_with_the_cookie_from_another_site_is_a_403(facade: Facade) -> None:
    """Before anything is asked of the mesh."""
    reply = await facade.http.post(
        "/v1/chat/completions",
        json={},
        headers={"cookie": f"parley_session={PAGE_KEY}", "origin": "http://127.0.0.1:1"},
    )
    assert reply.status_code == 403


async def test_page_has_a_strict_policy(facade: Facade) -> None:
    """Nothing from elsewhere, nothing inline, no frame, and a look for a newer page each time."""
    _build_page(facade)
    reply = await facade.http.get("/")
    assert reply.status_code == 200
    policy = reply.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "caching"),
    [("main-PH5IY4RG.js", "public, max-age=31536000, immutable"), ("mark.svg", "no-cache")],
)
async def test_asset_is_kept_if_its_name_is_its_content(
    facade: Facade, name: str, caching: str
) -> None:
    """A file that may change under its name is asked for again."""
    _build_page(facade)
    reply = await facade.http.get(f"/assets/{name}")
    assert (reply.status_code, reply.headers["cache-control"]) == (200, caching)
    assert "content-security-policy" in reply.headers


@pytest.mark.parametrize(
    "path",
    ["/assets/none.js", "/assets/", "/assets/../index.html", "/assets/%2e%2e/%2e%2e/page_key"],
)
async def test_nothing_but_assets_is_served(facade: Facade, path: str) -> None:
    """No listing, no way up."""
    _build_page(facade)
    reply = await facade.http.get(path)
    assert reply.status_code == 404
    assert PAGE_KEY not in reply.text


async def test_missing_page_says_how_to_build_it(facade: Facade) -> None:
    """Plain words instead of a riddle."""
    reply = await facade.http.get("/")
    assert reply.status_code == 404
    assert "npm run build" in reply.text
