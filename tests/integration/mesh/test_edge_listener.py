"""The edge listener of a real Envoy, with a fake facade behind it."""

import json
import socket
from http.client import HTTPResponse

import httpx
import pytest

from .fake_facade import NEXT
from .programs import (
    API_KEY,
    MESH_KEY,
    PAGE_KEY,
    eventually,
    plan,
    running_envoy,
    running_facade,
)

KEY = {"authorization": f"Bearer {API_KEY}"}


def get(envoy, path, headers=None, **options):
    return httpx.get(f"{envoy.edge}{path}", headers=headers, timeout=10, **options)


def raw(envoy, text):
    """Sends bytes as they are, and gives status and body of the answer."""
    with socket.create_connection(("127.0.0.1", envoy.topology.edge_port), timeout=10) as stream:
        stream.sendall(text.encode())
        answer = HTTPResponse(stream)
        answer.begin()
        return answer.status, answer.read().decode()


def ask(envoy, target, *headers):
    """A GET whose target no client library would send as it is."""
    lines = [f"GET {target} HTTP/1.1", f"host: 127.0.0.1:{envoy.topology.edge_port}", *headers]
    return raw(envoy, "\r\n".join([*lines, "connection: close", "", ""]))


def error_of(response):
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {API_KEY}"},
        {"x-api-key": API_KEY},
        {"cookie": f"parley_session={PAGE_KEY}"},
        {"cookie": f"theme=dark; parley_session={PAGE_KEY}"},
    ],
)
def test_key_in_any_of_its_places_is_taken_and_goes_no_further(edge, headers):
    """The facade sees who asks, never the key."""
    answer = get(edge, "/v1/models", headers)
    assert answer.status_code == 200
    told = answer.json()["headers"]
    assert told["x-parley-client"] == ("page" if "cookie" in headers else "user")
    assert not any(key in json.dumps(told) for key in (API_KEY, PAGE_KEY))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {API_KEY}"},
        {"x-api-key": "wrong"},
        {"cookie": "parley_session=wrong"},
        {"authorization": f"Bearer {MESH_KEY}"},
        {"x-parley-client": "user"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/x", "/v1/chat/completions", "/api/v1/models/x:promote"]
)
def test_wrong_or_missing_key_is_refused_alike_everywhere(edge, headers, path):
    """A bad key in any place gets the same 401 in OpenAI's shape, on any route."""
    answer = get(edge, path, headers)
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_key_in_the_query_is_no_key(edge):
    """Keys in addresses would end in histories and logs."""
    assert get(edge, f"/v1/models?api_key={API_KEY}").status_code == 401


@pytest.mark.parametrize("path", ["/", "/login", "/healthz", "/assets/page.js", "/favicon.ico"])
def test_page_is_public_and_sees_no_key(edge, path):
    """The page's own paths need no key, and a key sent there by mistake stays at the edge."""
    answer = get(edge, path, {**KEY, "x-api-key": API_KEY})
    assert answer.status_code == 200
    assert API_KEY not in answer.text


def test_page_reads_its_cookie(edge):
    """The facade itself reads the page's cookie on the page's paths."""
    assert PAGE_KEY in get(edge, "/", {"cookie": f"parley_session={PAGE_KEY}"}).text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("//admin", 404),
        ("/admin", 404),
        ("/v1/../admin", 404),
        ("/v1/models/../../config_dump", 404),
        ("/V1/models", 404),
        ("/v1", 404),
        ("/v1/embeddings", 404),
        ("/v1/chat/completions/x", 404),
        ("/v1/chat%2Fcompletions", 307),
        ("/v1%2Fchat", 307),
        ("/v1%5Cmodels", 307),
        ("/%2e%2e/", 200),
        ("/%00", 400),
        ("/assets/../v1/models", 401),
        ("/assets/%2e%2e/v1/models", 401),
        ("/assets/..%2Fv1/models", 307),
        ("/assetsx", 404),
        ("/loginx", 404),
        ("*", 400),
    ],
)
def test_only_listed_paths_lead_anywhere(edge, target, status):
    """However a path is written, it is judged by what it means; without a key, no more than the
    page."""
    got, body = ask(edge, target)
    assert got == status, body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9", "[::1]:80", "LocalHost"])
def test_this_machines_names_are_answered(edge, host):
    """Each name of this machine works, with any port."""
    assert get(edge, "/", {"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.", "localhost:evil.example", "10.0.0.1"],
)
def test_foreign_host_is_refused(edge, host):
    """A name that only resolves to this machine (DNS rebinding) reaches neither page nor API."""
    for path in ("/", "/v1/models"):
        answer = get(edge, path, {**KEY, "host": host})
        assert answer.status_code == 421
        assert error_of(answer)["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"},
    ],
)
def test_other_pages_may_not_use_the_api(edge, headers):
    """Another site's page gets nothing, even with a good cookie."""
    cookie = {"cookie": f"parley_session={PAGE_KEY}"}
    assert get(edge, "/api/v1/models", {**cookie, **headers}).status_code == 403
    answer = get(edge, "/v1/models", {**cookie, **headers})
    assert answer.status_code == 403
    assert error_of(answer)["code"] == "origin_not_allowed"


def test_own_page_may_use_the_api(edge):
    """What a browser sends from our page is let through; a link from elsewhere opens the page."""
    cookie = {"cookie": f"parley_session={PAGE_KEY}"}
    own = {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
    assert get(edge, "/v1/models", {**cookie, **own}).status_code == 200
    assert get(edge, "/", {"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        ("x_under_score: 1",),
        ("host: evil.example",),
        ("content-length: 5", "transfer-encoding: chunked"),
        ("content-length: 5", "content-length: 6"),
        ("transfer-encoding: chunked, identity",),
        ("bad name: 1",),
        (" folded: 1",),
    ],
)
def test_requests_that_servers_read_differently_are_refused(edge, headers):
    """Doubled, contradicting or malformed headers are the stuff of request smuggling."""
    status, _ = ask(edge, "/", *headers)
    assert 400 <= status < 500 or status == 501


def test_only_the_edge_sets_its_headers(edge):
    """A client's own x-parley-*, x-envoy-* and x-request-id never arrive."""
    forged = {
        "x-parley-client": "gateway",
        "x-parley-anything": "1",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-original-path": "/x",
        "x-request-id": "forged",
        "x-forwarded-for": "203.0.113.9",
    }
    registry = get(edge, "/api/v1/models/m:promote", {**KEY, **forged}).json()
    assert registry["headers"]["x-parley-client"] == "user"
    answer = get(edge, "/v1/models", {**KEY, **forged})
    told = answer.json()["headers"]
    assert told["x-parley-client"] == "user"
    assert "x-parley-anything" not in told
    assert {name for name in told if name.startswith("x-envoy-")} <= {"x-envoy-external-address"}
    assert told["x-envoy-external-address"] == "127.0.0.1"
    assert told["x-request-id"] == answer.headers["x-request-id"] != "forged"


def test_each_request_has_its_own_id(edge):
    """Refused or answered, the id is in the response, and differs."""
    ids = [get(edge, path).headers["x-request-id"] for path in ("/", "/", "/nowhere", "/v1/models")]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("size", [(1 << 20) + 1, 20 << 20])
def test_body_over_the_bound_is_refused_before_it_is_read(edge, size):
    """A declared length over 1 MiB gets 413 in OpenAI's shape, and the client can read it."""
    url = f"{edge.edge}/v1/chat/completions"
    answer = httpx.post(url, headers=KEY, content=b"x" * size, timeout=10)
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"


def test_body_of_just_the_bound_passes(edge):
    """1 MiB itself is for the facade to judge, over HTTP/1.1 and HTTP/2."""
    for http2 in (False, True):
        with httpx.Client(http1=not http2, http2=http2, timeout=10) as client:
            url = f"{edge.edge}/v1/chat/completions"
            answer = client.post(url, headers=KEY, content=b"x" * (1 << 20))
            assert (answer.status_code, answer.http_version == "HTTP/2") == (200, http2)


def test_stream_arrives_as_it_is_made(edge):
    """Nothing on the way gathers lines: the facade sends one only when the one before has come."""
    lines = []
    with httpx.stream(
        "POST",
        f"{edge.edge}/v1/chat/completions",
        headers=KEY,
        json={"lines": 5, "by_word": True},
        timeout=30,
    ) as answer:
        for line in filter(None, answer.iter_lines()):
            lines.append(line)
            assert get(edge, NEXT, KEY).status_code == 200
    assert lines == [f"data: {number}" for number in range(5)]


def test_a_reader_who_takes_nothing_is_not_read_for(tmp_path):
    """Envoy keeps no more of an answer than its buffers hold, so that the facade notices; what it
    has given up ends without an end."""
    body = json.dumps({"lines": 2_000, "width": 40_000, "gap_s": 0, "patience_s": 1})
    with running_facade(tmp_path), running_envoy(tmp_path, plan(tmp_path)) as envoy:
        with socket.socket() as slow:
            slow.settimeout(10)
            slow.connect(("127.0.0.1", envoy.topology.edge_port))
            slow.sendall(
                f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                f"authorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}".encode()
            )
            assert slow.recv(1)
            eventually(lambda: any(tmp_path.glob("*.given-up")), within_s=30)
            answer = slow.makefile("rb").read()
        assert len(answer) < 20_000_000
        assert not answer.endswith(b"0\r\n\r\n")


def test_log_tells_the_request_and_no_secret(edge):
    """One JSON line per request, with the path but not the query, and no key from anywhere."""
    cookie = {"cookie": f"parley_session={PAGE_KEY}", "x-client-request-id": "mine-1"}
    answer = get(edge, "/v1/models?token=query-canary-4", cookie)
    get(edge, "/login?token=login-canary-5", KEY)
    get(edge, "/v1/models", {"authorization": "Bearer wrong-canary-6"})
    request_id = answer.headers["x-request-id"]

    def line():
        return [one for one in edge.log_lines() if one.get("request_id") == request_id]

    (logged,) = eventually(line)
    expected = {
        "listener": "edge",
        "method": "GET",
        "path": "/v1/models",
        "status": 200,
        "client": "page",
        "client_request_id": "mine-1",
    }
    assert {key: logged[key] for key in expected} == expected
    assert {"duration_ms", "flags", "sent_bytes", "upstream", "user_agent"} <= set(logged)
    eventually(lambda: any(one["path"] == "/login" for one in edge.log_lines() if "path" in one))
    assert "canary" not in edge.log()


def test_stats_are_readable_and_nothing_else_is(edge):
    """Readiness and metrics need no key; what shows or changes the configuration is not there."""
    assert httpx.get(f"{edge.stats}/ready").text == "LIVE\n"
    assert "envoy_cluster_upstream_rq" in httpx.get(f"{edge.stats}/stats/prometheus").text
    for path in ("/", "/config_dump", "/stats", "/quitquitquit", "/clusters", "/logging"):
        assert httpx.get(f"{edge.stats}{path}").status_code == 404
    foreign = httpx.get(f"{edge.stats}/stats/prometheus", headers={"host": "evil.example"})
    assert foreign.status_code == 421


def test_admin_is_for_its_owner_only(edge):
    """The admin socket, which shows keys, opens for its owner alone."""
    assert (edge.folder / "admin.sock").stat().st_mode & 0o777 == 0o600


def test_no_key_on_the_command_line(edge):
    """Other users of the machine can read it."""
    assert not any("canary" in word for word in edge.process.args)


def test_down_facade_is_told_in_openais_shape(tmp_path):
    """503 with Retry-After while no facade listens; served again once one does."""
    with running_envoy(tmp_path, plan(tmp_path)) as envoy:
        answer = get(envoy, "/v1/models", KEY)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert error_of(answer)["code"] == "service_unavailable"
        with running_facade(tmp_path):
            assert get(envoy, "/v1/models", KEY).status_code == 200


def test_a_client_run_wild_is_slowed(tmp_path):
    """Over the bucket's size: 429 with Retry-After in OpenAI's shape, key or none."""
    topology = plan(tmp_path, requests_burst=5, requests_per_s=1)
    with running_facade(tmp_path), running_envoy(tmp_path, topology) as envoy:
        with httpx.Client(base_url=envoy.edge, headers=KEY, timeout=10) as client:
            assert client.get("/v1/models").status_code == 200
            # The bucket fills while it is emptied, on a busy machine nearly as fast.
            answers = (client.get("/v1/models") for _ in range(100))
            refused = next(one for one in answers if one.status_code != 200)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert error_of(refused)["code"] == "rate_limit_exceeded"


@pytest.mark.alone
@pytest.mark.slow
def test_timeouts_cut_what_is_silent_but_no_stream_that_moves(tmp_path):
    """A stream outlives the bound of plain answers and the bound of silence, as long as it
    moves; one that is silent too long is cut, never ended cleanly."""
    topology = plan(tmp_path, answer_s=0.5, silence_s=1)
    with running_facade(tmp_path), running_envoy(tmp_path, topology) as envoy:
        url = f"{envoy.edge}/v1/chat/completions"
        moving = httpx.post(url, headers=KEY, json={"lines": 8, "gap_s": 0.3}, timeout=10)
        assert moving.text.count("data:") == 8
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(url, headers=KEY, json={"lines": 2, "gap_s": 3}, timeout=10)
