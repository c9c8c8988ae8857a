"""What Mosquitto does with a client id that is in use: why ours cannot be guessed."""

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
    made = broker_link._unguessable("lamppost-ingest-1", first.key)
    assert made == broker_link._unguessable("lamppost-ingest-1", first.key)
    assert made != broker_link._unguessable("lamppost-ingest-2", first.key)
    assert made != broker_link._unguessable("lamppost-ingest-1", second.key)
