"""`lamppost serve --check`: are secrets and data of this server kept well? It starts and changes nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from fleet_server import at_rest
from fleet_server.config import ServerConfig
from fleet_server.database.findings import Finding, not_checked, sound, unsound
from fleet_server.secrets_by_reference import OTHERS
from provisioning import root_keys
from provisioning.authority_files import FIRST_ROOT

CONNECT_TIMEOUT_S = 5
ROOT_KEY = "root's key"
_LOCAL = ("", "localhost", "127.0.0.1", "::1")
_TLS = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def look(config: ServerConfig) -> list[Finding]:
    """The configuration itself is sound: it was read."""
    return [
        _file(config.file),
        _at_rest("data at rest", config.data_dir),
        *root_keys_found(config.authority.directory),
        *(
            [_at_rest("database at rest", directory)]
            if (directory := config.database.embedded_directory) is not None
            else [_tls(config.database.url)]
        ),
    ]


def _file(file: Path | None) -> Finding:
    check = "configuration file"
    if file is None:
        return sound(check, "none: the defaults hold")
    try:
        told = urlsplit(_url_of(file)).password
        if told and file.stat().st_mode & OTHERS:
            return unsound(
                check,
                f"{file} holds the database's password, and everybody on this machine may read it",
                f"Run chmod 600 {file}, or set database.password to a reference.",
            )
    except OSError as refused:
        return not_checked(check, f"{file}: {refused.strerror}")
    return sound(check, "holds no secret, or is for its owner's eyes")


def _url_of(file: Path) -> str:
    import tomllib

    database = tomllib.loads(file.read_text(encoding="utf-8")).get("database", {})
    url = database.get("url", "")
    return url if isinstance(url, str) else ""


def _at_rest(check: str, folder: Path) -> Finding:
    found = at_rest.look(folder)
    match found.encrypted:
        case True:
            return sound(check, f"{folder}: {found.how}")
        case False:
            return unsound(
                check,
                f"{folder}: {found.how}",
                "Put it on a LUKS volume or encrypt the folder with fscrypt (docs/tenants.md).",
            )
        case None:
            return not_checked(check, f"{folder}: {found.how}", "Ask whoever runs this machine's storage.")


def root_keys_found(authority: Path) -> list[Finding]:
    """One for each root, also one that comes next or was retired. Its certificate alone is no secret."""
    folders = sorted(each for each in authority.glob(f"{FIRST_ROOT}*") if each.is_dir())
    if not authority.is_dir():
        return [not_checked(ROOT_KEY, f"{authority} is not there yet: the first start makes an authority")]
    if not folders:
        return [sound(ROOT_KEY, f"not in {authority}")]
    return [_root_key(authority, each) for each in folders]


def _root_key(authority: Path, folder: Path) -> Finding:
    file, away = (
        folder / root_keys.KEY,
        f"move {folder} to a medium that is kept offline (docs/certificates.md)",
    )
    try:
        file.open("rb").close()
    except FileNotFoundError:
        return sound(ROOT_KEY, f"not in {folder}")
    except OSError as refused:
        return not_checked(ROOT_KEY, f"{file}: {refused.strerror}", "Run it as the authority's owner.")
    match how := root_keys.kept(folder):
        case root_keys.Kept.OPEN:
            lock = f"lamppost ca lock-root --directory {authority} --root {folder}"
            return unsound(
                ROOT_KEY,
                f"{file} lies open: whoever copies it can make an authority that the whole city trusts",
                f"Run {lock}, make a backup (lamppost ca backup), and {away}.",
            )
        case root_keys.Kept.LOCKED:
            return sound(ROOT_KEY, f"{file}: {how}, and still on this machine: {away}")
        case _:
            return sound(ROOT_KEY, root_keys.described(folder))


def _tls(url: str) -> Finding:
    """Of a database that stands elsewhere: encrypted on the way, and is it the right one that answers?"""
    check = "database on the way"
    parts = urlsplit(url)
    host = parts.hostname or "".join(parse_qs(parts.query).get("host", [""]))
    if host in _LOCAL or host.startswith(("/", "%2F")):
        return sound(check, "on this machine")
    mode = "".join(parse_qs(parts.query).get("sslmode", ["prefer"]))
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            row = connection.execute(_TLS).fetchone()
    except psycopg.Error as lost:
        return not_checked(check, f"{host} does not take a connection: {str(lost).splitlines()[0]}")
    if row is None or not row[0]:
        return unsound(check, f"{host}: not encrypted", "Add ?sslmode=verify-full to database.url.")
    if mode != "verify-full":
        return unsound(
            check,
            f"{host}: {row[1]}, and sslmode={mode} does not look who answers",
            "Add ?sslmode=verify-full&sslrootcert=… to database.url.",
        )
    return sound(check, f"{host}: {row[1]}, its certificate and name are checked")
