"""Enrolment: 200 lampposts one after another over HTTPS, and a city's renewals within their hour.

Each of the 200 is the agent's own `enrol`: a new key, a request, TLS anew for each call, a claim of a batch
that a rule lets in, the certificate checked and put in place. The device listener is the server's, with its
limit of requests from one address, which all of them share here; PostgreSQL runs as it does in production.

The renewals: 1,000 certificates that were issued in the same minute. When each lamppost asks is decided by
the agent's own code; what an answer takes is measured on the 200; one ingest worker answers them in turn.

    python -m benchmarks.enrolment [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.report import Figure, at_most, shown
from edge_agent.config import check
from edge_agent.core.renewing import RENEW_AT, Validity, renew_at
from edge_agent.enrolment import enrol
from fleet_server import api_role
from fleet_server.accept_policy import read_rules
from fleet_server.access.rules import CONSOLE
from fleet_server.api import create_device_app
from fleet_server.certificates import ensure_authority, ensure_certificates
from fleet_server.config import EnrolmentConfig
from fleet_server.context import Context
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.enrolment import batches, issuing, service
from fleet_server.enrolment.rules import State
from fleet_server.listening import listening as listener
from fleet_server.migrations import upgrade
from tests.support.mosquitto import make_request
from tests.support.server_context import make_context
from wire_contract.topics import Address

LAMPPOSTS, QUICK = 200, 20
BAR_S = 60.0
RENEWED, HOUR_S = 1000, 3600.0
CERTIFICATE_S = 90 * 86_400.0
MEASURED = 60  # renewals, for what one takes


@contextmanager
def listening(ctx: Context) -> Iterator[str]:
    """The device listener, as the role `api` sets it up."""
    server = api_role._server(create_device_app(ctx), api_role._tls(ctx.config))
    socket = listener("api.device_listen", replace(ctx.config.api.listen, port=0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[socket])), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def bench(folder: Path) -> Iterator[Context]:
    """A database, an authority, and the rule that lets batches in."""
    with EmbeddedServer(folder / "postgres") as database:
        upgrade(database.url())
        ctx = make_context(database.url(), folder)
        rules = EnrolmentConfig(read_rules(["batch"]))
        ctx = replace(ctx, config=replace(ctx.config, enrolment=rules))
        authority, _ = ensure_authority(ctx.config)
        ensure_certificates(ctx.config, authority)
        try:
            yield ctx
        finally:
            ctx.db.close()


def enrol_all(ctx: Context, folder: Path, number: int) -> tuple[float, float]:
    """Seconds for all, and for the slowest."""
    tokens = [
        token
        for first in range(0, number, 100)
        for token in batches.make_batch(ctx, CONSOLE, "bench", min(100, number - first)).tokens
    ]
    slowest = 0.0
    with listening(ctx) as url:
        began = time.perf_counter()
        for n, token in enumerate(tokens):
            since = time.perf_counter()
            tables = {
                "device": {
                    "tenant": "city",
                    "name": f"lamp-{n:03}",
                    "data_dir": str(folder / f"lamp-{n:03}"),
                },
                "server": {"host": "127.0.0.1"},
                "enrolment": {
                    "url": url,
                    "claim": token,
                    "ca_file": str(ctx.config.certificates_directory / "ca.pem"),
                },
            }
            enrol(check(tables, folder / "agent.toml"), wait=True, tell=lambda _line: None)
            slowest = max(slowest, time.perf_counter() - since)
        return time.perf_counter() - began, slowest


def renewal_s(ctx: Context, number: int) -> float:
    """What the server takes for one renewal: the state, the day's count, the signature, the record."""
    asked = [
        (Address("city", f"lamp-{n % number:03}"), make_request(f"city/lamp-{n % number:03}")[0])
        for n in range(MEASURED)
    ]
    began = time.perf_counter()
    for address, csr in asked:
        assert not issuing.renew(ctx, address, csr).refused
    return (time.perf_counter() - began) / len(asked)


def hour_of_renewals(one_s: float) -> tuple[int, float, float]:
    """The busiest second's requests, the longest wait for an answer, and when the last one asks; seconds."""
    dates = Validity(1_780_000_000.0, 1_780_000_000.0 + CERTIFICATE_S)
    asks = sorted((renew_at(dates, f"city/lamp-{n}") - RENEW_AT) * CERTIFICATE_S for n in range(RENEWED))
    free_s = longest = 0.0
    for at in asks:
        free_s = max(free_s, at) + one_s
        longest = max(longest, free_s - at)
    return max(Counter(int(at) for at in asks).values()), longest, asks[-1]


def figures(*, quick: bool = False) -> list[Figure]:
    number = QUICK if quick else LAMPPOSTS
    with tempfile.TemporaryDirectory(prefix="lamppost-enrol-") as name:
        folder = Path(name)
        with bench(folder) as ctx:
            all_s, slowest_s = enrol_all(ctx, folder, number)
            states = Counter(each.state for each in service.list_enrolments(ctx, CONSOLE))
            one_s = renewal_s(ctx, number)
    busiest, wait_s, last_s = hour_of_renewals(one_s)
    return [
        at_most(f"{number} lampposts enrolled one after another", all_s, "s", BAR_S),
        shown("  the slowest of them", slowest_s, "s"),
        at_most("  of them not let in", number - states[State.ISSUED], "lampposts", 0),
        at_most("  requests left pending", states[State.PENDING] + states[State.CLAIMED], "requests", 0),
        shown("one renewal at the server", one_s * 1000, "ms"),
        at_most(f"{RENEWED} renewals: the last one asks after", last_s, "s", HOUR_S),
        shown("  in the busiest second", busiest, "requests"),
        shown("  longest wait for an answer of one worker", wait_s * 1000, "ms"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enrolment")
    parser.add_argument("--quick", action="store_true")
    print("\n".join(report.lines(figures(quick=parser.parse_args(arguments).quick))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
