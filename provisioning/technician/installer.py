"""The texts of a bundle that are the same for every lamppost."""

from __future__ import annotations

INSTALL = """\
#!/bin/sh
# Sets this computer up as a lamppost. As root, from the folder that this file is in; again after a failure.
set -eu
etc=${LAMPPOST_ETC:-/etc/lamppost}
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" != 0 ]; then echo "install.sh: run it as root: sudo sh $0" >&2; exit 2; fi

if ! command -v lamppost >/dev/null 2>&1; then
    if [ ! -d "$here/packages" ]; then
        echo "install.sh: lamppost is not installed, and this bundle has no packages/:" >&2
        echo "  docs/technician.md says how; or make the bundle with --packages" >&2
        exit 3
    fi
    python3 -m venv /opt/lamppost
    /opt/lamppost/bin/pip install --quiet --no-index --find-links "$here/packages" 'lamppost[edge]'
    ln -sf /opt/lamppost/bin/lamppost /usr/local/bin/lamppost
fi

# Zeros over a file before it is removed: FAT keeps a removed file's bytes (a card's electronics may, too).
forget() {
    head -c "$(wc -c <"$1")" /dev/zero | dd of="$1" conv=notrunc,fsync 2>/dev/null || :
    rm -f "$1" || echo "install.sh: $1 cannot be removed, and holds a claim: remove it by hand" >&2
}

umask 077
mkdir -p "$etc"
if [ -f "$here/agent.toml" ]; then
    cp "$here/trust.pem" "$etc/trust.pem"
    cp "$here/agent.toml" "$etc/agent.toml.new"
    sync
    mv "$etc/agent.toml.new" "$etc/agent.toml"
    sync
    forget "$here/agent.toml"   # a card's boot partition has no private files; $etc is root's alone
fi
for draft in "$here"/.agent.toml.*; do [ ! -f "$draft" ] || forget "$draft"; done
lamppost agent config --config "$etc/agent.toml"
lamppost agent enrol --config "$etc/agent.toml" --wait
lamppost agent install --config "$etc/agent.toml"
lamppost agent doctor --config "$etc/agent.toml" || true
echo "The lamppost runs. Now the site test: lamppost provision test"
"""

README = """\
Lamppost {device}, claim {claim}

1. Copy this folder to the lamppost's computer, or put the card with it into the lamppost.
   On a card it is lamppost/ of the boot partition: /boot/firmware/lamppost on the running lamppost.
2. There: sudo sh install.sh
   It prints the key's fingerprint and waits until a person has compared it and accepted the lamppost.
3. On your computer or phone: scan label.svg, compare all eight groups, accept.
4. lamppost provision test, then lamppost provision handover.

agent.toml holds the claim: whoever has this folder, or the card, can read it and enrol in this lamppost's
place until it is used. install.sh moves it to /etc/lamppost, which is root's, and overwrites it here before
it asks for anything. A card that was lost before: lamppost fleet claim withdraw {claim}
"""
