"""GET and POST /login: a one-time token becomes the cookie of the page.

The token is in no log and no Referer: the answer leads away from the address that holds it. The
cookie is for this host only, unreadable to scripts, and never sent for another site.
"""

from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway import errors, origin, tokens
from gateway.bodies import read
from gateway.replies import error_reply
from gateway.settings import GatewaySettings

FORM_BYTES_MAX = 4096
_HEADERS = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


class Login:
    """Answers both methods. `page_key` is what the edge wants in the cookie."""

    def __init__(self, settings: GatewaySettings, page_key: str) -> None:
        self._settings = settings
        self._page_key = page_key

    def add_to(self, app: FastAPI) -> None:
        """Adds the route for both methods."""
        app.add_api_route("/login", self.follow, methods=["GET"])
        app.add_api_route("/login", self.submit, methods=["POST"])

    async def follow(self, request: Request) -> Response:
        """The address that a person opens: leads to the page, signed in or told that it failed."""
        token = request.query_params.get("token", "")
        if tokens.consume(self._settings.login_tokens_dir, token):
            return self._welcome()
        return RedirectResponse("/?login=failed" if token else "/", 303, _HEADERS)

    async def submit(self, request: Request) -> Response:
        """The page's form; 401 for a wrong token, 403 for another site's form."""
        origin.check_same_origin(request)
        form = _read_form(await read(request, FORM_BYTES_MAX, self._settings.body_s))
        if tokens.consume(self._settings.login_tokens_dir, form):
            return self._welcome()
        refused = error_reply(
            errors.ApiError(
                401,
                errors.INVALID_REQUEST,
                "invalid_token",
                "That token was not accepted. A token works once; ./parley token makes another.",
                param="token",
            )
        )
        refused.headers["referrer-policy"] = "no-referrer"
        return refused

    def _welcome(self) -> Response:
        reply = RedirectResponse("/", 303, _HEADERS)
        reply.set_cookie(origin.COOKIE, self._page_key, httponly=True, samesite="strict", path="/")
        return reply


def _read_form(body: bytes) -> str:
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=8)
    except ValueError:
        raise errors.invalid("The body is not a form with a token.", param="token") from None
    return fields.get("token", [""])[0]
