"""`lamppost ca`: the city's certificate authority and the broker's configuration, from a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provisioning import authority as authorities
from provisioning import cli_rollover, cli_secrets, root_keys
from provisioning.authority import Authority
from provisioning.broker import SERVER_ROLES, BrokerSettings, render_mosquitto
from provisioning.errors import BadSetting, ProvisioningError
from provisioning.revocation import list_number
from provisioning.storage import PUBLIC_FILE_MODE, folder_for, private_directory, write_atomically

Facts = Mapping[str, Any]
MOST_SERIAL_BITS = 159  # RFC 5280, section 4.1.2.2: 20 octets, and above zero

EXAMPLES = """\
examples:
  lamppost ca init --directory /var/lib/lamppost/authority --city "Porto" --passphrase-file root.pass
  lamppost ca show --directory /var/lib/lamppost/authority
  lamppost ca server-cert --directory ... --name broker --host mqtt.porto.example --host 10.0.0.5 --out certs
  lamppost ca client-cert --directory ... --name lamppost-ingest --out certs
  lamppost ca broker-config --directory ... --certificate certs/broker.pem --key certs/broker.key \\
      --host 0.0.0.0 --out /etc/mosquitto/lamppost
  lamppost ca revoke --directory ... --serial 3fa94c0d...
  lamppost ca backup --directory ... --out /media/stick/authority.backup
  lamppost ca restore --directory ... --from /media/stick/authority.backup
  lamppost ca lock-root --directory ...                  a root's key that lies open gets a passphrase
  lamppost ca init --directory ... --city "Porto" \\
      --root-key 'pkcs11:token=lamppost-root;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so'
  lamppost ca root-to-token 'pkcs11:...' --directory ...     a root's key in a file goes into a token
  lamppost ca check-root --directory ... --root /media/stick/root    is it there, and does it still sign?
  lamppost ca roll-issuing prepare --directory ... --root /media/stick/root      then switch, then retire
  lamppost ca roll-root prepare --directory ... --root /media/stick/root --passphrase-file old.pass \\
      --new-passphrase-file new.pass                         without a terminal to ask on

After `init`, move DIRECTORY/root to a medium that is kept offline: nothing here needs it again.
`lamppost serve` makes an authority by itself where there is none.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost ca",
        description="The city's certificate authority: its own, kept on its own disk.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="the authority's directory"
    )
    common.add_argument("--json", action="store_true", help="answer in JSON")

    def command(name: str, what: str, run: Callable[[argparse.Namespace], Facts]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=what, parents=[common])
        sub.set_defaults(run=run)
        return sub

    init = command("init", "make a new authority", _init)
    init.add_argument("--city", required=True, help="name in the authority's certificates")
    secret = init.add_mutually_exclusive_group()
    secret.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="first line encrypts the root's key"
    )
    secret.add_argument("--ask-passphrase", action="store_true", help="ask on the terminal (the default)")
    secret.add_argument("--without-passphrase", action="store_true", help="leave the root's key open")
    secret.add_argument(
        "--root-key", metavar="URI", help="a pkcs11: address: the root's key is made in that token, and stays"
    )
    init.add_argument("--existing-key", action="store_true", help="take the key that is in the token already")
    server = command("server-cert", "certify a server (broker, API) for its host names", _server)
    server.add_argument("--name", required=True, help="file name and common name, as in broker")
    server.add_argument("--host", action="append", required=True, help="a name or address; repeat for more")
    client = command("client-cert", "certify a server role that connects to the broker", _client)
    client.add_argument("--name", required=True, help=f"one of {', '.join(SERVER_ROLES)}")
    for each in (server, client):
        each.add_argument(
            "--days", type=float, default=authorities.SERVER_DAYS, help="validity (%(default)s)"
        )
        each.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the two files go")
    _add_broker(command("broker-config", "write mosquitto.conf and its access list", _broker))
    command("show", "the authority's certificates and revocations", _show)
    revoke = command("revoke", "put a certificate on the revocation list", _revoke)
    revoke.add_argument("--serial", required=True, help="hexadecimal, as in the certificate")
    cli_rollover.add(command)
    return made


def _add_broker(broker: argparse.ArgumentParser) -> None:
    broker.add_argument("--certificate", type=Path, required=True, metavar="FILE", help="the broker's chain")
    broker.add_argument("--key", type=Path, required=True, metavar="FILE", help="the broker's key")
    broker.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    broker.add_argument("--port", type=int, default=8883, help="port to listen on (%(default)s)")
    broker.add_argument("--user", default="root", help="whom root's Mosquitto becomes; reads the keys")
    broker.add_argument(
        "--role", action="append", help="a server role that sees the city; repeat; default: all"
    )
    broker.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the two files go")


def main(argv: list[str]) -> int:
    """0: done. 1: the authority or a value does not allow it, with one line that says why and what to do."""
    options = parser().parse_args(argv)
    try:
        facts = options.run(options)
    except ProvisioningError as refused:
        return _failed(options, str(refused))
    except OSError as failed:
        return _failed(options, f"{failed.filename or options.directory}: {failed.strerror}")
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(f"{name.replace('_', ' '):<18}{_text(value)}" for name, value in facts.items()))
    return 0


def _failed(options: argparse.Namespace, why: str) -> int:
    if options.json:
        print(json.dumps({"error": why}))
    else:
        print(f"lamppost ca {options.command}: {why}", file=sys.stderr)
    return 1


def _text(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _init(options: argparse.Namespace) -> Facts:
    if options.root_key is not None:
        making = cli_secrets.key_in_token(options.root_key, options.existing_key, cli_secrets.PIN_VARIABLE)
        made = Authority.init(options.directory, options.city, make_root_key=making)
    elif options.existing_key:
        raise BadSetting("--existing-key is for a key in a token", "Name it: --root-key 'pkcs11:...'")
    else:
        made = Authority.init(options.directory, options.city, _passphrase(options))
    return {**_facts(made), "next": f"move {options.directory / 'root'} to a medium that is kept offline"}


def _passphrase(options: argparse.Namespace) -> str | None:
    """Without a choice a terminal is asked: a root's key lies open only where somebody wants that."""
    if options.without_passphrase:
        return None
    if options.passphrase_file is not None:
        return cli_secrets.secret_in(options.passphrase_file)
    return cli_secrets.asked_passphrase("Passphrase for the root's key", twice=True)


def _server(options: argparse.Namespace) -> Facts:
    made = Authority.load_issuing(options.directory).issue_server(options.name, options.host, options.days)
    return _saved(made, options)


def _client(options: argparse.Namespace) -> Facts:
    made = Authority.load_issuing(options.directory).issue_client(options.name, options.days)
    return _saved(made, options)


def _saved(made: authorities.Identity, options: argparse.Namespace) -> Facts:
    folder_for(options.out)
    certificate, key = options.out / f"{options.name}.pem", options.out / f"{options.name}.key"
    made.save(certificate, key)
    leaf = made.leaf
    return {
        "certificate": str(certificate),
        "key": str(key),
        "serial": f"{leaf.serial_number:x}",
        "valid_until": leaf.not_valid_after_utc.isoformat(),
    }


def _broker(options: argparse.Namespace) -> Facts:
    authority = Authority.load_issuing(options.directory)
    directory = options.out.absolute()
    settings = BrokerSettings(
        directory=directory,
        host=options.host,
        port=options.port,
        trust_file=authority.files.trust.absolute(),
        certificate_file=options.certificate.absolute(),
        key_file=options.key.absolute(),
        crl_file=authority.files.crl.absolute(),
        server_roles=tuple(options.role or SERVER_ROLES),
        user=options.user,
    )
    rendered = render_mosquitto(settings)
    for option, file in (("--certificate", options.certificate), ("--key", options.key)):
        if not file.is_file():
            raise BadSetting(f"{option} {file}: there is no such file", "Make both: lamppost ca server-cert")
    folder_for(directory)
    private_directory(settings.state_directory)
    for name, text in rendered.items():
        write_atomically(directory / name, text.encode(), PUBLIC_FILE_MODE)
    return {
        "configuration": str(directory / "mosquitto.conf"),
        "access_list": str(settings.acl_file),
        "start": f"mosquitto -c {directory / 'mosquitto.conf'}",
    }


def _show(options: argparse.Namespace) -> Facts:
    return _facts(Authority.load_issuing(options.directory))


def _revoke(options: argparse.Namespace) -> Facts:
    try:
        serial = int(options.serial.replace(":", ""), 16)
    except ValueError as error:
        raise BadSetting(f"{options.serial!r} is not a hexadecimal serial number") from error
    if not 0 < serial < 1 << MOST_SERIAL_BITS:
        raise BadSetting(f"{options.serial!r:.80} cannot be a certificate's serial number")
    authority = Authority.load_issuing(options.directory)
    fresh = authority.revoke(serial)
    return {
        "serial": f"{serial:x}",
        "revoked": "now" if fresh else "before",
        "next": "restart the broker, or have it read the list (kill -HUP) to refuse new connections alone; "
        "`lamppost serve` does it by itself",
    }


def _facts(authority: Authority) -> Facts:
    crl = authority.revocation_list()
    return {
        "city": authority.city,
        "directory": str(authority.files.directory),
        "to_trust": str(authority.files.trust),
        "root": authority.root.subject.rfc4514_string(),
        "root_valid_until": authority.root.not_valid_after_utc.isoformat(),
        "root_key": root_keys.described(authority.files.root_key.parent),
        "issuing": authority.issuing.subject.rfc4514_string(),
        "issuing_until": authority.issuing.not_valid_after_utc.isoformat(),
        "rollover": str(authority.described.phase),
        "revocation_list": list_number(crl),
        "revoked": [f"{each.serial_number:x}" for each in crl],
    }
