"""GET / and /assets/*: the chat page as it was built, under a strict content security policy.

Model output is hostile: no script, style, image or connection but the page's own, and text becomes
HTML through the page's one sanitiser policy only. Knows nothing of how the page is made.
"""

import re
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
# The build names a file after its content, as in main-PH5IY4RG.js.
_HASHED = re.compile(r"-[0-9A-Z]{8}\.[a-z0-9]+$")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_NOT_BUILT = (
    "The chat page is not built. ./parley up builds it; or run npm ci and npm run build in chat/.\n"
)


def add_to(app: FastAPI, folder: Path) -> None:
    """Adds the page that is in `folder`, which may be built later."""

    async def index(request: Request) -> Response:
        path = folder / "index.html"
        if not path.is_file():
            return PlainTextResponse(_NOT_BUILT, 404, _HEADERS)
        return FileResponse(path, headers={**_HEADERS, "cache-control": _ASK_AGAIN})

    app.add_api_route("/", index, methods=["GET", "HEAD"])
    app.mount("/assets", Assets(directory=folder / "assets", check_dir=False))


class Assets(StaticFiles):
    """Files of the page; those named after their content are kept by browsers for ever."""

    async def check_config(self) -> None:
        """A folder that is not there yet is no fault of the configuration."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file at `path` with the page's headers. Raises HTTPException 404 or 405."""
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        response.headers["cache-control"] = _FOR_EVER if _HASHED.search(path) else _ASK_AGAIN
        return response
