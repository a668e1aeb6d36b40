"""The object store over real S3 servers, well and unwell."""

import asyncio
import hashlib
import http.client
import os
import socket
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.objects import s3_credentials
from services.objects.object_store import PART_BYTES, S3ObjectStore
from services.rpc.errors import Internal, NotFound, Unavailable
from tests.integration.s3 import servers
from tests.integration.s3.conftest import store_of
from tests.integration.s3.test_conformance import KINDS


def file_of(tmp_path: Path, content: bytes) -> tuple[Path, str]:
    """A file and its digest."""
    path = tmp_path / "file"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def get(address: str) -> tuple[int, bytes]:
    """What anyone gets from an address."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_bytes", [0, 10, PART_BYTES, 2 * PART_BYTES + 1])
async def test_a_file_comes_back_as_it_went(server_of, tmp_path, kind, size_bytes):
    """Files of no bytes, of one part and of several are stored, seen, fetched and removed."""
    path, sha256 = file_of(tmp_path, os.urandom(size_bytes))
    key = f"models/{sha256}/größe 1.bin"
    with store_of(server_of(kind)) as store:
        await store.put_file(key, path, sha256)
        assert await store.stat(key) == (key, size_bytes)
        assert await store.list(f"models/{sha256}/") == [(key, size_bytes)]
        assert sha256 in await store.list_folders("models/")
        await store.get_file(key, tmp_path / "back", sha256)
        assert (tmp_path / "back").read_bytes() == path.read_bytes()
        assert get(await store.presign(key)) == (200, path.read_bytes())
        await store.remove(key)
        await store.remove(key)
        with pytest.raises(NotFound):
            await store.stat(key)


async def test_the_same_bytes_are_sent_once(own_server, own_store, tmp_path):
    """A second put of a file leaves the object as it is."""
    path, sha256 = file_of(tmp_path, b"once")
    await own_store.put_file("a/once", path, sha256)
    stored = own_server.data / servers.BUCKET / "a/once"
    before = stored.stat().st_ino
    await own_store.put_file("a/once", path, sha256)
    assert stored.stat().st_ino == before


async def test_a_spoilt_object_is_mended_by_the_next_put(own_server, own_store, tmp_path):
    """That an object has the right size is not taken for the right bytes."""
    path, sha256 = file_of(tmp_path, b"right")
    await own_store.put_file("a/file", path, sha256)
    (own_server.data / servers.BUCKET / "a/file").write_bytes(b"wrong")
    await own_store.put_file("a/file", path, sha256)
    assert await own_store.get_bytes("a/file", sha256) == b"right"


@pytest.mark.parametrize("content", [b"small", b"l" * (PART_BYTES + 1), b""])
async def test_a_file_with_another_digest_is_not_stored(own_store, tmp_path, content):
    """A file that changed since it was hashed never becomes an object."""
    path, _ = file_of(tmp_path, content)
    with pytest.raises(Internal, match="not what its digest names"):
        await own_store.put_file("a/file", path, "0" * 64)
    assert await own_store.list("a/") == []


async def test_wrong_bytes_are_never_handed_out(own_server, own_store, tmp_path):
    """An object that changed in the store is an error, and leaves no file."""
    path, sha256 = file_of(tmp_path, b"right")
    await own_store.put_file("a/file", path, sha256)
    (own_server.data / servers.BUCKET / "a/file").write_bytes(b"wrong")
    with pytest.raises(Internal, match="not what its digest names"):
        await own_store.get_file("a/file", tmp_path / "back", sha256)
    with pytest.raises(Internal, match="not what its digest names"):
        await own_store.get_bytes("a/file", sha256)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["file"]


async def test_a_folder_is_removed_whole(own_store, tmp_path):
    """All below a prefix goes, and nothing beside it."""
    path, sha256 = file_of(tmp_path, b"1")
    for key in ("a/1", "a/b/2", "ab/3"):
        await own_store.put_file(key, path, sha256)
    await own_store.remove_folder("a/")
    assert [one.key for one in await own_store.list("")] == ["ab/3"]


async def test_down_is_unavailable_and_back_is_back(own_server, own_store, tmp_path):
    """Calls fail at once while the server is down, and work again when it is back."""
    path, sha256 = file_of(tmp_path, b"kept")
    await own_store.put_file("a/file", path, sha256)
    own_server.stop()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="does not answer"):
            await own_store.stat("a/file")
        with pytest.raises(Unavailable):
            await own_store.put_file("a/file", path, sha256)
        with pytest.raises(Unavailable):
            await own_store.list("a/")
    own_server.start()
    assert await own_store.get_bytes("a/file", sha256) == b"kept"


async def test_a_server_that_hangs_is_unavailable(own_server, own_store):
    """A call ends at its bound when the server takes the connection and says nothing."""
    keys = s3_credentials.read(own_server.credentials_file)
    with closing(S3ObjectStore(own_server.endpoint, servers.BUCKET, keys)) as bounded:
        own_server.pause()
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await bounded.stat("a/file")
    own_server.go_on()
    with pytest.raises(NotFound):
        await own_store.stat("a/file")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_look_at_the_bucket_says_whether_it_is_there(server_of, kind):
    """A server without it is up, and of no use."""
    server = server_of(kind)
    keys = s3_credentials.read(server.credentials_file)
    for bucket in (servers.BUCKET, "nobody"):
        store = S3ObjectStore(server.endpoint, bucket, keys)
        if bucket == servers.BUCKET:
            await store.check()
        else:
            with pytest.raises(Internal) as caught:
                await store.check()
            assert caught.value.reason == "BUCKET_NOT_FOUND"
        store.close()


async def test_wrong_keys_are_our_fault(own_server):
    """Keys that the server refuses are an internal error that names the mend."""
    keys = type(own_server.keys)(own_server.keys.access_key, "0" * 40)
    store = S3ObjectStore(own_server.endpoint, servers.BUCKET, keys)
    with pytest.raises(Internal, match="credentials file"):
        await store.stat("a/file")
    with pytest.raises(Internal, match="credentials file"):
        await store.list("a/")
    store.close()


async def test_a_body_that_ends_early_is_no_object(own_server, tmp_path):
    """A server that dies in the midst of a body leaves no file behind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cut = threading.Thread(target=_cut_off, args=(listener,), daemon=True)
        cut.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        store = S3ObjectStore(endpoint, servers.BUCKET, own_server.keys)
        with pytest.raises(Unavailable):
            await store.get_file("a/file", tmp_path / "back")
        cut.join(10)
        store.close()
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob("*.part"))


def _cut_off(listener: socket.socket) -> None:
    """Answers a HEAD and a GET with a length of 100, and half as many bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n"
    head += b"Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n\r\n"
    for body in (b"", b"h" * 50):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(head + body)
