"""How many bytes our connections took on the wire, as the kernel counted them (tcp(7), TCP_INFO).

With TLS, with what had to be sent again, and with the headers of every segment. Where the kernel does not
tell (it is not Linux), nothing is counted.
"""

from __future__ import annotations

import socket
import struct
import threading

# struct tcp_info of linux/tcp.h: bytes_received at 128, segs_out and segs_in at 136, bytes_sent (with what
# was sent again) at 200. Kernels before 4.19 end earlier: bytes_acked at 120 then.
_INFO_BYTES = 232
_TCP_INFO = getattr(socket, "TCP_INFO", None)
HEADER_BYTES = {socket.AF_INET: 20 + 20 + 12, socket.AF_INET6: 40 + 20 + 12}  # IP, TCP, its time stamps


class WireMeter:
    """Thread-safe. `opened` and `closing` for each socket that leaves the device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = 0
        self._open: dict[int, tuple[socket.socket, int]] = {}  # and what it had at the last look

    def opened(self, made: socket.socket) -> None:
        with self._lock:
            self._open[id(made)] = (made, 0)

    def closing(self, made: socket.socket) -> None:
        """Before it is closed: afterwards nobody knows."""
        with self._lock:
            _, last = self._open.pop(id(made), (made, 0))
            self._closed += max(last, _count(made) or 0)

    def total(self) -> int:
        """Of every connection since the start."""
        with self._lock:
            for key, (made, last) in list(self._open.items()):
                found = _count(made)
                if found is None:  # closed behind our back
                    del self._open[key]
                    self._closed += last
                else:
                    self._open[key] = (made, found)
            return self._closed + sum(last for _, last in self._open.values())


def _count(made: socket.socket) -> int | None:
    header = HEADER_BYTES.get(made.family)
    if _TCP_INFO is None or header is None:
        return 0
    try:
        info = made.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    if len(info) < 144:
        return 0
    acked, received = struct.unpack_from("=QQ", info, 120)
    out, came = struct.unpack_from("=II", info, 136)
    (sent,) = struct.unpack_from("=Q", info, 200) if len(info) >= 208 else (acked,)
    return int(sent + received + (out + came) * header)
