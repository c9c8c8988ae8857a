"""The steps of a certificate's renewal that need `cryptography`, each a short-lived process.

python -m edge_agent.renewal request CONFIG    makes the next key; prints {"csr": base64 of PKCS#10 DER}
python -m edge_agent.renewal accept CONFIG     reads the chain (PEM) from standard input; puts it in place
python -m edge_agent.renewal mend CONFIG       finishes what a power cut interrupted
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from edge_agent.config import load
from edge_agent.config_keys import AgentConfig
from edge_agent.errors import AgentError
from edge_agent.io.identity_files import (
    IdentityFiles,
    checked_chain,
    ensure_key,
    finish_renewal,
    install_renewal,
    make_csr,
)
from wire_contract.topics import Address


def files_of(config: AgentConfig) -> IdentityFiles:
    return IdentityFiles(config.key_file, config.certificate_file, config.ca_file)


def request(config: AgentConfig) -> dict[str, str]:
    """A request with a key of its own: the old key stays in use until the new certificate is verified."""
    key = ensure_key(files_of(config).next_key)
    csr = make_csr(key, Address(config.device.tenant, config.device.name))
    return {"csr": base64.b64encode(csr).decode()}


def accept(config: AgentConfig, chain_pem: str) -> dict[str, str]:
    """Verify the chain against the next key and the city's authority, then put both in place."""
    files = files_of(config)
    key = ensure_key(files.next_key)
    address = Address(config.device.tenant, config.device.name)
    install_renewal(files, checked_chain(chain_pem, key, address, files.ca.read_text()))
    return {}


def main(argv: list[str]) -> int:
    step, path = argv
    try:
        config = load(Path(path))
        if step == "mend":
            finish_renewal(files_of(config))
            told = {}
        else:
            told = request(config) if step == "request" else accept(config, sys.stdin.read())
    except AgentError as error:
        print(json.dumps({"code": error.code, "detail": error.detail, "remedy": error.remedy}))
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
