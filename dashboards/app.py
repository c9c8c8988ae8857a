"""The `ui` role: the operator's pages in a process of their own."""

from __future__ import annotations

import os

from fleet_server.config import ServerConfig
from fleet_server.listening import listening
from fleet_server.ready import notify_ready

KEEP_ALIVE_S = 30  # as the API: whoever hangs up first after five meets a proxy that is just asking again
GRACEFUL_S = 3  # open sockets are told to go; a page reconnects by itself


def main(config: ServerConfig) -> int:
    """Serve the pages until SIGTERM or SIGINT. Returns the process's exit status.

    Raises UnfitSecret for a key file that others may read, ConfigurationError for an address that is taken.
    """
    storage = config.data_dir / "ui"
    storage.mkdir(parents=True, exist_ok=True)
    storage.chmod(0o700)  # the sessions' tokens lie here
    os.umask(0o077)
    os.environ["NICEGUI_STORAGE_PATH"] = str(
        storage
    )  # read when NiceGUI is imported; else it writes into the cwd

    import uvicorn

    from dashboards.data import Services
    from dashboards.server import build
    from fleet_server import collector

    listener = listening("ui.listen", config.ui.listen)
    server = uvicorn.Server(
        uvicorn.Config(
            build(config, Services.of(config)),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            proxy_headers=config.api.behind_tls,
            timeout_graceful_shutdown=GRACEFUL_S,
            ws_max_size=1 << 20,
        )
    )
    collector.settle()
    notify_ready()  # it is built, and who connects is answered; another's server at that port tells nothing
    server.run(sockets=[listener])
    return 0 if server.started else 1
