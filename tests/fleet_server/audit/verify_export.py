"""An auditor's own check of an export (JSON lines): nothing of Lamppost is imported. See docs/audit.md.

python verify_export.py audit.jsonl checkpoint-KEYID.pem

The key: DATA/audit/checkpoint-KEYID.pem on the server, or what `lamppost audit keys` prints, saved to a file.
"""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

if len(sys.argv) != 3 or not all(Path(each).is_file() for each in sys.argv[1:]):
    sys.exit(f"{__doc__}\nGive both files, the export and the public key; they have to be there.")
rows = [json.loads(row) for row in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
public = load_pem_public_key(Path(sys.argv[2]).read_bytes())
assert isinstance(public, Ed25519PublicKey)
signed = {row["number"]: row for row in rows if row["type"] == "checkpoint"}
retained = [n for n, row in signed.items() if row["kind"] == "retention"]
last = max(retained, default=0)
start = rows[0].get("start") or {"number": last, "hash": signed[last]["hash"] if last else "00" * 32}
number, before = start["number"], bytes.fromhex(start["hash"])
for point in signed.values():
    told = (
        f"lamppost audit checkpoint 1\n{point['kind']}\n{point['number']}\n{point['hash']}\n{point['at']}\n"
    )
    public.verify(bytes.fromhex(point["signature"]), told.encode())  # raises where it is not the key's
for row in (row for row in rows if row["type"] == "line"):
    number += 1
    body = row["body"].encode()
    before = hashlib.sha256(before + number.to_bytes(8, "big") + body).digest()
    if row["number"] != number or row["hash"] != before.hex():
        sys.exit(f"line {number} is not the one that was written")
    if number in signed and signed[number]["hash"] != before.hex():
        sys.exit(f"line {number} is not the one that was signed")
    for name, (salt, value) in row.get("beside", {}).items():
        digest = json.loads(row["body"])["personal"][name]
        if salt is not None and hashlib.sha256(bytes.fromhex(salt) + value.encode()).hexdigest() != digest:
            sys.exit(f"line {number}: {name} is not what was recorded")
if signed and max(signed) > number:
    sys.exit(f"the end is missing: line {max(signed)} was signed, and the last is line {number}")
print(f"sound: up to line {number}, {len(signed)} checkpoints")
