"""Opens the objects of an encrypted replica with an identity of age: see docs/format.md, "Encryption"."""
import functools, hmac, json, struct, sys

import pyrage
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

class Keys:
    """The secret keys of a replica, each out of the newest of its wrapped forms that is what it is taken for."""
    def __init__(self, root, manifest, file):
        if not file:
            raise ValueError("the replica is encrypted: give --identity FILE")
        if manifest["encryption"]["suite"] != 1:
            raise ValueError("the replica is encrypted in a newer way")
        lines = [line for line in file.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-1")]
        self.identities = [pyrage.x25519.Identity.from_str(line) for line in lines]
        self.root, self.replica = root, manifest["replica"]

    @functools.cache
    def secret(self, id, use):
        for path in sorted(self.root.glob(f"key/{id}-*.age"), reverse=True):
            try:
                said = json.loads(pyrage.decrypt(path.read_bytes(), self.identities))
                key = bytes.fromhex(said["key"])
                proved = blake3(key, derive_key_context="ebbtide 2026-12 key id").hexdigest()[:16]
                if (said["ebbtide"], said["replica"], said["use"], proved) == (1, self.replica, use, id):
                    return key
                print(f"passing over {path.name}: it is another key", file=sys.stderr)
            except (pyrage.DecryptError, ValueError, LookupError) as error:
                print(f"passing over {path.name}: {error}", file=sys.stderr)
        raise ValueError(f"nothing opens the key {id}")

    def open(self, found, use, nonce, data, associated):
        """What was encrypted with the key that this object alone has: HKDF is two HMACs for so few bytes."""
        id = (found.page_key if use == "pages" else found.index_key).hex()
        info = f"ebbtide 1 {use}\0".encode() + found.data[:124] + found.name.encode()
        key = hmac.digest(hmac.digest(found.salt, self.secret(id, use), "sha256"), info + b"\x01", "sha256")
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, data, associated)
        except InvalidTag:
            raise ValueError(f"{found.name} is not what was encrypted") from None

    def index(self, found, index, foot):
        """The index, and what header and footer do not state in the open."""
        nonce = b"\xff" * 4 + struct.pack("<Q", found.at)
        index = self.open(found, "index", nonce, index, foot[:32] + foot[96:104])
        found.before, found.after, found.digest, found.rows, room = struct.unpack("<32s32s16sII", index[:88])
        if room:
            raise ValueError("a newer version wrote it")
        return index[88:]

    def block(self, found, block, data):
        use = "pages" if block.kind in (1, 3) else "index"
        return self.open(found, use, struct.pack("<4xQ", block.offset), data, struct.pack("<BBHII", *block[:5]))
