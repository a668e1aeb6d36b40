"""One proxy's stream, by the rules of the protocol: nonces, refusals, and what it asks for late."""

import asyncio
from dataclasses import replace

import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest
from envoy_data_plane.google.rpc import Status

from services.mesh import follower as module
from services.mesh.discovery import TYPES
from services.mesh.follower import Follower, ResourceStatus
from services.mesh.rollout import Held

from .states import GOOD, LOADING, QWEN, A, B, snapshot

CDS, EDS, RDS = "clusters", "endpoints", "routes"
ONLY_B = replace(GOOD, members=(B,))


class Proxy:
    """A proxy that says only what a test has it say."""

    def __init__(self):
        self.sent = asyncio.Queue()
        self.target = None
        self.taken = []
        self.statuses = {kind: ResourceStatus(kind) for kind in TYPES}
        self.follower = Follower(
            self.sent.put,
            find_target=lambda: self.target,
            find_held=lambda kind, version: Held(),
            statuses=self.statuses,
            on_taken=lambda found, _: self.taken.append(found.version),
        )

    def publish(self, found, urgent=False):
        self.target = found
        self.follower.wake(urgent)

    def say(self, kind, names=(), nonce="", version="", error=""):
        self.follower.hear(
            DiscoveryRequest(
                type_url=TYPES[kind],
                resource_names=list(names),
                response_nonce=nonce,
                version_info=version,
                error_detail=Status(message=error) if error else None,
            )
        )

    async def hears(self, kind):
        """The next message, of that kind."""
        message = await asyncio.wait_for(self.sent.get(), 5)
        assert message.type_url == TYPES[kind]
        return message

    async def begins(self):
        """Asks for everything and takes it, as Envoy does."""
        self.say(CDS)
        clusters = await self.hears(CDS)
        names = sorted(self.target.resources[CDS])
        self.say(CDS, nonce=clusters.nonce, version=clusters.version_info)
        self.say(EDS, names)
        endpoints = await self.hears(EDS)
        self.say(EDS, names, endpoints.nonce, endpoints.version_info)
        self.say(RDS, ["mesh"])
        routes = await self.hears(RDS)
        self.say(RDS, ["mesh"], routes.nonce, routes.version_info)


@pytest.fixture
async def proxy():
    """A proxy with its follower at work."""
    one = Proxy()
    task = asyncio.create_task(one.follower.send_all())
    yield one
    task.cancel()


async def test_a_proxy_that_takes_all_is_known_to(proxy):
    """Once, and with the versions of each kind."""
    proxy.publish(snapshot())
    await proxy.begins()
    assert proxy.taken == [snapshot().version]
    taken = {kind: one.acknowledged for kind, one in proxy.statuses.items()}
    assert taken == snapshot().versions


async def test_a_proxy_that_is_early_waits(proxy):
    """Until there is something to say."""
    proxy.say(CDS)
    await asyncio.sleep(0)
    assert proxy.sent.empty()
    proxy.publish(snapshot())
    await proxy.hears(CDS)


async def test_routes_wait_until_clusters_and_endpoints_are_taken(proxy):
    """A proxy says that it has taken clusters once it has their endpoints and these are well."""
    proxy.publish(snapshot(ONLY_B))
    await proxy.begins()
    proxy.publish(snapshot())
    clusters = await proxy.hears(CDS)
    assert proxy.sent.empty()
    names = sorted(snapshot().resources[CDS])
    proxy.say(EDS, names, nonce=proxy.follower._subscriptions[EDS].nonce)
    endpoints = await proxy.hears(EDS)
    assert [one.type_url for one in endpoints.resources] == [TYPES[EDS]] * 3
    assert proxy.sent.empty()
    proxy.say(EDS, names, nonce=endpoints.nonce)
    await asyncio.sleep(0)
    assert proxy.sent.empty()
    proxy.say(CDS, nonce=clusters.nonce)
    await proxy.hears(RDS)


async def test_what_is_said_of_an_older_message_counts_for_nothing(proxy):
    """Neither an answer nor a refusal."""
    proxy.publish(snapshot())
    proxy.say(CDS)
    await proxy.hears(CDS)
    proxy.say(CDS, nonce="0")
    proxy.say(CDS, nonce="0", error="bad")
    status = proxy.statuses[CDS]
    assert (status.acknowledged, status.refused) == ("", "")


async def test_a_refused_version_is_remembered_and_not_sent_again(proxy):
    """What comes next is, and makes it forgotten once it is taken."""
    proxy.publish(snapshot())
    await proxy.begins()
    moved = snapshot(replace(GOOD, models=(replace(QWEN, shares=QWEN.shares[:1]),)))
    proxy.publish(moved)
    routes = await proxy.hears(RDS)
    proxy.say(RDS, ["mesh"], routes.nonce, "old", error="no such thing")
    status = proxy.statuses[RDS]
    assert (status.refused, status.refusal) == (moved.versions[RDS], "no such thing")
    assert status.acknowledged == snapshot().versions[RDS]
    proxy.publish(moved)
    proxy.publish(snapshot(replace(GOOD, models=(replace(QWEN, aliases=()),))))
    routes = await proxy.hears(RDS)
    assert routes.version_info not in (moved.versions[RDS], snapshot().versions[RDS])
    proxy.say(RDS, ["mesh"], routes.nonce)
    assert (status.refused, status.refusal) == ("", "")


async def test_refused_clusters_are_not_routed_to_and_endpoints_go_on(proxy):
    """A replica that leaves must be left, whatever else is wrong."""
    proxy.publish(snapshot(ONLY_B))
    await proxy.begins()
    proxy.publish(snapshot())
    clusters = await proxy.hears(CDS)
    proxy.say(CDS, nonce=clusters.nonce, error="qwen@1 is bad")
    await proxy.hears(EDS)
    proxy.publish(snapshot(replace(GOOD, members=(A, LOADING))), urgent=True)
    await proxy.hears(EDS)
    await asyncio.sleep(0)
    assert proxy.sent.empty()


async def test_a_proxy_that_begins_anew_may_take_what_was_refused(proxy):
    """It may be another program."""
    proxy.statuses[CDS].refused = snapshot().versions[CDS]
    proxy.publish(snapshot())
    proxy.say(CDS)
    await proxy.hears(CDS)


async def test_what_is_urgent_does_not_wait_for_an_answer(proxy):
    """A replica that is gone is left, though the proxy says nothing of the message before."""
    both, left = snapshot(), snapshot(ONLY_B)  # made before, lest the making outlasts the wait
    proxy.publish(left)
    await proxy.begins()
    proxy.publish(both)
    await proxy.hears(CDS)
    proxy.publish(left, urgent=True)
    clusters = await proxy.hears(CDS)
    assert len(clusters.resources) == 2


async def test_a_proxy_that_reads_nothing_is_given_up(monkeypatch):
    """Its stream ends, and it may come again."""
    monkeypatch.setattr(module, "WRITTEN_WITHIN_S", 0.01)
    proxy = Proxy()
    proxy.follower._write = lambda message: asyncio.Event().wait()
    proxy.publish(snapshot())
    proxy.say(CDS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(proxy.follower.send_all(), 5)
