"""A line of packets between two network devices of our own: what happens below TCP, without netem.

Two TUN devices (tun(4)), one in the room of the server, one in a lamppost's own network namespace. Each
packet is read from one and written to the other, unless it is lost, damaged, doubled or kept back while
others pass.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import struct
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.weather import QUIET, Weather

TUN = "/dev/net/tun"
TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_BYTES = 65_536
KEPT_BACK_S = (0.005, 0.06)  # long enough for the next packets of a window to pass
HEADERS_BYTES = 40  # of IPv4 and TCP: damage behind them is found by TCP's own checksum


def open_device(name: str) -> int:
    """A TUN device in the namespace of this process; it lives as long as the handle. Raises OSError."""
    handle = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError:
        os.close(handle)
        raise
    return handle


@dataclass
class PacketLine:
    """`near` and `far`: handles that give and take whole packets. Start it on a running loop."""

    near: int
    far: int
    dice: random.Random
    weather: Weather = QUIET
    counts: Counter[str] = field(default_factory=Counter)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self.near, self._read, self.near, self.far)
        loop.add_reader(self.far, self._read, self.far, self.near)

    def stop(self) -> None:
        for handle in (self.near, self.far):
            self._loop.remove_reader(handle)
            os.close(handle)

    def change(self, weather: Weather) -> None:
        self.weather = weather

    def _read(self, come_from: int, go_to: int) -> None:
        try:
            packet = os.read(come_from, PACKET_BYTES)
        except OSError:
            return  # nothing after all, or the device is going
        self.counts["packets"] += 1
        for late_s, what in fate(packet, self.weather, self.dice, self.counts):
            if late_s:
                self._loop.call_later(late_s, _write, go_to, what)
            else:
                _write(go_to, what)


def fate(
    packet: bytes, weather: Weather, dice: random.Random, counts: Counter[str]
) -> list[tuple[float, bytes]]:
    """What is delivered of a packet, and how much later. Counts what it did."""
    if weather.loss and dice.random() < weather.loss:
        counts["lost"] += 1
        return []
    if weather.damaged and dice.random() < weather.damaged and len(packet) > HEADERS_BYTES:
        counts["damaged"] += 1
        at = dice.randrange(HEADERS_BYTES, len(packet))
        packet = packet[:at] + bytes([packet[at] ^ (1 << dice.randrange(8))]) + packet[at + 1 :]
    late_s = 0.0
    if weather.overtaken and dice.random() < weather.overtaken:
        counts["overtaken"] += 1
        late_s = dice.uniform(*KEPT_BACK_S)
    delivered = [(late_s, packet)]
    if weather.twice and dice.random() < weather.twice:
        counts["twice"] += 1
        delivered.append((late_s, packet))
    return delivered


def _write(handle: int, packet: bytes) -> None:
    try:
        os.write(handle, packet)
    except OSError:
        return  # the device is down, or its queue is full: a packet less, as on any network
