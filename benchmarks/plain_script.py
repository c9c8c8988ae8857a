"""What many would write: paho, JSON, `executemany`, a commit a message. The ingest is measured against it.

Nothing is wrong with it for one sensor on a desk. Each message holds rows of a time and a value for each
channel; it keeps one row a reading under a primary key, so that a message that comes twice is stored once.

    python -m benchmarks.plain_script POSTGRES_URL HOST PORT CA CERTIFICATE KEY
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

TABLE = """
CREATE TABLE IF NOT EXISTS plain_reading (
    device text NOT NULL, channel text NOT NULL, time timestamptz NOT NULL, value double precision NOT NULL,
    PRIMARY KEY (device, channel, time))
"""
INSERT = (
    "INSERT INTO plain_reading (device, channel, time, value) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
SUBSCRIPTION = "lp/1/plain/+/up/live"  # a topic that our broker lets it read


def main(url: str, host: str, port: str, ca: str, certificate: str, key: str) -> None:
    """For ever. Says "ready" when it is subscribed."""
    connection = psycopg.connect(url)
    connection.execute(TABLE)
    connection.commit()

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(SUBSCRIPTION, qos=1)

    def on_subscribe(*_: Any) -> None:
        print("ready", flush=True)

    def on_message(_client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        said = json.loads(message.payload)
        rows = [
            (said["device"], channel, datetime.fromtimestamp(row["time"] / 1000, UTC), row[channel])
            for row in said["rows"]
            for channel in row
            if channel != "time"
        ]
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, rows)
        connection.commit()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set(ca, certificate, key)
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect(host, int(port))
    client.loop_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
