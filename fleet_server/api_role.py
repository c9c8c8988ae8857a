"""The role `api`: two listeners in one process, plain for people and programs, TLS for devices that enrol."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleet_server import collector, tunnel
from fleet_server.api import create_app, create_device_app
from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.enrolment.est import PEER_CERTIFICATE
from fleet_server.errors import ConfigurationError
from fleet_server.listening import listening
from fleet_server.processes import allow_connections
from provisioning.authority_files import AuthorityFiles

log = logging.getLogger(__name__)

STOP_WITHIN_S = 5  # an answer that takes longer is cut when the server stops
KEEP_ALIVE_S = 30  # idle connections of browsers and proxies
# Of a device's connection, however slowly it asks: who says nothing, or a byte now and then, needs no
# certificate and would keep a descriptor for ever. An agent asks once and waits 20 s for the answer.
CONNECTION_LIFE_S = 60.0
CERTIFICATE_LOOK_S = 1.0  # one system call; a renewed certificate is served within this


class QuietServer(uvicorn.Server):
    """uvicorn's server; the role handles the signals, for both listeners together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class DeviceProtocol(H11Protocol):
    """HTTP of one device's connection; what it showed in TLS stands in `request.state`, verified, as DER."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        self.app_state = {**self.app_state, PEER_CERTIFICATE: shown or b""}
        self._life = self.loop.call_later(CONNECTION_LIFE_S, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._life.cancel()
        super().connection_lost(exc)

    def _end(self) -> None:
        """A tunnel is another protocol by now, and goes on."""
        if self.transport.get_protocol() is self:
            self.transport.abort()


def main(config: ServerConfig) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError where a port or certificate cannot be used."""
    allow_connections()
    context = Context.of(config)
    app = create_app(context)
    servers = [(_server(app, behind_proxy=config.api.behind_tls), listening("api.listen", config.api.listen))]
    tls: ssl.SSLContext | None = None
    if config.api.device_listen is not None:
        tls = _tls(config)
        device = _server(create_device_app(context), tls)
        servers.append((device, listening("api.device_listen", config.api.device_listen)))
    collector.settle()
    asyncio.run(_serve(app, servers, tls, config))
    context.db.close()
    return 0


def _server(app: FastAPI, tls: ssl.SSLContext | None = None, *, behind_proxy: bool = False) -> QuietServer:
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        proxy_headers=behind_proxy,  # else one stranger's failures would throttle everybody behind it
        lifespan="on" if tls is None else "off",
        http="auto" if tls is None else DeviceProtocol,
        # the defaults keep 32 messages of 16 MiB of whoever opens a tunnel and has no certificate
        ws_max_size=tunnel.MOST_FRAME_BYTES,
        ws_max_queue=tunnel.MOST_WAITING_FRAMES,
        ws_per_message_deflate=False,
    )
    settings.load()
    settings.ssl = tls
    return QuietServer(settings)


async def _serve(
    app: FastAPI,
    servers: list[tuple[QuietServer, socket.socket]],
    tls: ssl.SSLContext | None,
    config: ServerConfig,
) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        app.state.live.close()  # streams without an end would hold the server up
        for server, _ in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    renewing = None if tls is None else asyncio.create_task(_renew(tls, config))
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
    if renewing is not None:
        renewing.cancel()


def _tls(config: ServerConfig) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325, section 3.1.1
    tls.set_alpn_protocols(["http/1.1"])
    tls.verify_mode = ssl.CERT_OPTIONAL  # renewal is by certificate; a new device has none
    _load(tls, config)
    return tls


def _load(tls: ssl.SSLContext, config: ServerConfig) -> None:
    certificate, key = config.api.device_certificate_file, config.api.device_key_file
    try:
        tls.load_cert_chain(certificate, key)
        tls.load_verify_locations(AuthorityFiles(config.authority.directory).trust)
    except (OSError, ssl.SSLError) as refused:
        raise ConfigurationError(
            f"The device listener's certificate {certificate} with the key {key} cannot be used: {refused}.",
            remedy="Correct api.device_certificate_file and api.device_key_file, or leave both empty.",
        ) from None


async def _renew(tls: ssl.SSLContext, config: ServerConfig) -> None:
    """New connections get the certificate that lies on disk; a broken one is told and the old one kept."""
    file = config.api.device_certificate_file
    seen = _version(file)
    while True:
        await asyncio.sleep(CERTIFICATE_LOOK_S)
        found = _version(file)
        if found in (seen, 0):
            continue
        seen = found
        try:
            _load(tls, config)
            log.info("the device listener has a new certificate")
        except ConfigurationError as refused:
            log.error("%s The old one stays in use.", refused)


def _version(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
