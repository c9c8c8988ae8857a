"""What Mosquitto does with a known client id or shared subscription: why ours cannot be guessed."""

from __future__ import annotations

from fleet_server.telemetry.ingest import broker_link
from tests.provisioning.mqtt_client import connected
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.topics import ALL_UP_FILTER, Address, Up, up_topic

ONE, OTHER = Address("city", "lamp-01"), Address("city", "lamp-02")


def test_who_knows_a_client_id_takes_over_the_connection_but_hears_nothing(broker: MosquittoBroker) -> None:
    """The reason. If this fails, the broker has learned to tie ids to certificates: simplify."""
    with connected(broker, broker.server_identity(), "known") as ingest:
        ingest.subscribe(ALL_UP_FILTER)
        with (
            connected(broker, broker.device_identity(OTHER), "known") as thief,
            connected(broker, broker.device_identity(ONE)) as device,
        ):
            wait_until(ingest.disconnected.is_set, 10, "the first connection to be thrown out")
            ingest.client.loop_stop()  # it would throw the thief out in turn
            device.publish(up_topic(ONE, Up.LIVE), b"private")
            thief.subscribe("lp/1/city/lamp-02/down/#")  # its answer comes after what was on its way
            assert thief.inbox == []


def test_the_ingest_s_client_id_is_stable_and_needs_its_key(broker: MosquittoBroker) -> None:
    first, second = broker.server_identity(), broker.server_identity()
    made = broker_link.unguessable("lamppost-ingest-1", first.key)
    assert made == broker_link.unguessable("lamppost-ingest-1", first.key)
    assert made != broker_link.unguessable("lamppost-ingest-2", first.key)
    assert made != broker_link.unguessable("lamppost-ingest-1", second.key)


def test_who_knows_the_name_of_a_shared_subscription_swallows_its_messages(broker: MosquittoBroker) -> None:
    """The reason for its secret name. If this fails, the broker checks subscriptions: simplify."""
    asked = f"$share/known/{ALL_UP_FILTER}"
    with (
        connected(broker, broker.server_identity()) as ingest,
        connected(broker, broker.device_identity(OTHER)) as thief,
        connected(broker, broker.device_identity(ONE)) as device,
    ):
        assert not ingest.subscribe(asked).is_failure
        assert not thief.subscribe(asked).is_failure
        for number in range(10):
            device.publish(up_topic(ONE, Up.LIVE), b"%d" % number)
        ingest.subscribe("lp/1/city/lamp-02/down/#")  # its answer comes after what was on its way
        assert len(ingest.inbox) == 5, "dealt in turn; what the thief may not read is dropped"
        assert thief.inbox == []


def test_the_ingest_s_share_cannot_be_joined_without_its_key(broker: MosquittoBroker) -> None:
    mine, other = broker.server_identity(), broker.server_identity()
    share = broker_link.unguessable(broker_link.SHARED_BY, mine.key)
    assert share == broker_link.unguessable(broker_link.SHARED_BY, mine.key)
    assert share != broker_link.unguessable(broker_link.SHARED_BY, other.key)
    filters = [asked for asked, _ in broker_link.subscriptions(share)]
    assert all(asked.startswith((f"$share/{share}/", "lp/1/+/+/up/presence")) for asked in filters)
    with (
        connected(broker, mine) as ingest,
        connected(broker, broker.device_identity(OTHER)) as thief,
        connected(broker, broker.device_identity(ONE)) as device,
    ):
        for asked in filters:
            ingest.subscribe(asked)
            thief.subscribe(asked.replace(share, broker_link.SHARED_BY))
        for number in range(10):
            device.publish(up_topic(ONE, Up.LIVE), b"%d" % number)
        wait_until(lambda: len(ingest.inbox) == 10, 10, "every message at the ingest")
