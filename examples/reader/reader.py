"""Restores a database from a replica in a directory, from docs/format.md alone: see README.md."""
import argparse, hmac, io, json, mmap, struct, sys, zlib
from collections import namedtuple
from pathlib import Path

import lz4.block, pyrage
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PACK, HORIZON, IN_SNAPSHOT = 2, 5, 2  # two kinds of objects, and a flag of entries
NAMES = ["", "log/{first:016x}.seg", "pack/{first:016x}-{last:016x}.seg", "delta/{first:016x}-{last:016x}.seg",
         "snap/{first:016x}.seg", "horizon/{base:016x}.seg", "mark/{first:016x}-{base:016x}.seg"]
HEADER = (b"\x89ebbtide", "<8xHBBI16sQQ32sB8s8s24s3sI",
          "version kind flags page_size replica first base before suite page_key index_key salt room crc")
FOOTER = b"editbbe\x89", "<8xHBBIQQ32s32sQ16s4sI", "version kind flags rows at length root after last digest room crc"
Block = namedtuple("Block", "kind codec zero stored raw crc offset")
Entry = namedtuple("Entry", "txid kind flags zero size time pages count digest content detail start before after")

def check(holds, what):
    if not holds:
        raise ValueError(what)

def leb128(data):
    byte, = data.read(1)
    return byte if byte < 128 else byte - 128 + (leb128(data) << 7)

def images_of(records, page_size):
    """Each record is an image, or the steps that make one of the image before it."""
    data, image = io.BytesIO(records), b""
    while data.tell() < len(records):
        length = leb128(data)
        end = data.tell() + length
        made = data.read(length) if length == page_size else b""
        while data.tell() < end:
            copied = leb128(data)
            shift = leb128(data) if copied & 1 else 0
            source = len(made) + (shift >> 1 ^ -(shift & 1))
            made += image[source:source + (copied >> 1)] + data.read(leb128(data))
        image = made + image[len(made):]
        yield image

def secret_key(replica, name):
    """What a file of age holds: the id of a key and its use, and the key itself."""
    said = json.loads(pyrage.decrypt((replica.root / name).read_bytes(), replica.identities))
    key = bytes.fromhex(said["key"])
    id = blake3(key, derive_key_context="ebbtide 2026-12 key id").hexdigest()[:16]
    check((said["ebbtide"], said["replica"], id) == (1, replica.id.hex(), name[4:20]), "it is another key")
    return (id, said["use"]), key

class Object:
    """An object whose header, footer and index are as they must be. Its blocks are read as they are needed."""
    def __init__(self, of, name):
        self.name, self.keys = name, of.keys
        with (of.root / name).open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head, foot = self.data[:128], self.data[-128:]
        for part, magic, form, fields in (foot, *FOOTER), (head, *HEADER):
            vars(self).update(zip(fields.split(), struct.unpack(form, part)))
            check(part[:8] == magic and self.crc == zlib.crc32(part[:124]), "its header or footer is damaged")
            check(self.version == 1 and not self.flags and not any(self.room), "a newer version wrote it")
        index = self.data[self.at:-128]
        check(len(index) == self.length and blake3(head + index).digest() == self.root, "its index is damaged")
        check((self.replica, self.page_size, self.suite) == (of.id, of.page_size, of.suite), "it is of another replica")
        check(foot[10] == head[10] and name == NAMES[self.kind].format(**vars(self)), "it belongs under another name")
        if self.suite:
            index = self.decrypt("index", b"\xff" * 4, self.at, index, foot[:32] + foot[96:104])
            self.before, self.after, self.digest, self.rows, zero = struct.unpack_from("<32s32s16sII", index)
        self.parse_index(index[88 * self.suite:])

    def decrypt(self, use, kind, offset, data, associated):
        """What was encrypted with a key that this object alone has: HKDF is two HMACs for so few bytes."""
        id = (self.page_key if use == "pages" else self.index_key).hex()
        check((id, use) in self.keys, f"nothing opens the key {id}")
        info = f"ebbtide 1 {use}\0".encode() + self.data[:124] + self.name.encode() + b"\x01"
        key = hmac.digest(hmac.digest(self.salt, self.keys[id, use], "sha256"), info, "sha256")
        return AESGCM(key).decrypt(struct.pack("<4sQ", kind, offset), data, associated)

    def parse_index(self, index):
        counts, data = struct.unpack_from("<4I", index), io.BytesIO(index[16:])
        rows, blocks, runs, details = (io.BytesIO(data.read(n * size)) for n, size in zip(counts, (80, 16, 8, 1)))
        self.entries, self.blocks, self.pages, after, offset = [], [], [], self.before, 128
        for row in struct.iter_unpack("<BBHIII", blocks.read()):
            self.blocks.append(Block(*row, offset))
            offset += self.blocks[-1].stored
        for _ in range(self.rows):
            row, own, before, start = rows.read(80), b"", after, len(self.pages)
            values = struct.unpack("<QBBHIqII16s32s", row)
            while len(self.pages) < start + values[7]:
                own += runs.read(8)
                first, length = struct.unpack("<II", own[-8:])
                self.pages += range(first, first + length)
            detail = details.read(values[4])
            after = blake3(row + own + detail, key=before).digest() if self.kind <= PACK else self.after
            self.entries.append(Entry(*values, json.loads(detail or "{}"), start, before, after))
        check(offset == self.at and not any(part.read() for part in (data, rows, runs, details)), "rows are left over")

    def decoded(self, block):
        data = self.data[block.offset:block.offset + block.stored]
        check(zlib.crc32(data) == block.crc, f"a block of {self.name} is damaged")
        if self.suite:
            use = "pages" if block.kind in (1, 3) else "index"
            data = self.decrypt(use, b"", block.offset, data, struct.pack("<BBHII", *block[:5]))
        if block.codec == 2:
            return b"".join(images_of(lz4.block.decompress(data), self.page_size))
        return lz4.block.decompress(data, uncompressed_size=block.raw) if block.codec else data

    def images(self):
        """Its pages, each with its place, image and hash. The hashes prove the images, and the entries the hashes."""
        hashes = b"".join(self.decoded(block) for block in self.blocks if block.kind == 2)
        for entry in self.entries:
            own = hashes[16 * entry.start:16 * (entry.start + entry.count)]
            check(entry.flags & IN_SNAPSHOT or blake3(own).digest() == entry.content, f"{self.name} has other hashes")
        by_page = self.pages.__getitem__ if any(block.kind == 3 for block in self.blocks) else None
        places = iter(sorted(range(len(self.pages)), key=by_page))
        for data in (self.decoded(block) for block in self.blocks if block.kind in (1, 3)):
            for at, place in zip(range(0, len(data), self.page_size), places):
                image, page, hash = data[at:at + self.page_size], self.pages[place], hashes[16 * place:16 * place + 16]
                proof = blake3(blake3(image).digest() + struct.pack("<12s16xI", b"ebbtide page", page)).digest()
                check(proof[:16] == hash, f"page {page} of {self.name} is damaged")
                yield page, place, image, hash

class Replica:
    def __init__(self, root, identity):
        manifest = json.loads((root / "ebbtide.json").read_bytes())
        self.root, self.id, self.page_size = root, bytes.fromhex(manifest["replica"]), manifest["page_size"]
        self.suite, self.keys = manifest.get("encryption", {"suite": 0})["suite"], {}
        check(manifest["format"] == 1 and self.suite in (0, 1), "a newer version wrote it")
        if self.suite:
            check(identity, "the replica is encrypted: give --identity FILE")
            secrets = [line for line in identity.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-1")]
            self.identities = [*map(pyrage.x25519.Identity.from_str, secrets)]
            self.keys = dict(key for _, key in self.read("key/*.age", secret_key))
        self.opened = dict(self.read("*/*.seg", Object))
        self.begin = self.genesis = 0, blake3(self.id, derive_key_context="ebbtide 2026-11 chain genesis").digest()
        kept = {"states": [], "objects": []}
        for found in (found for found in self.opened.values() if found.kind == HORIZON):
            self.begin, kept = (found.first - 1, found.before), json.loads(b"".join(map(found.decoded, found.blocks)))
        self.chains = {int(state["txid"], 16): bytes.fromhex(state["chain"]) for state in kept["states"]}
        self.roots = {named["name"]: bytes.fromhex(named["root"]) for named in kept["objects"]}

    def read(self, pattern, of):
        """What each file with such a name gives. What is wrong with one is said, and the others may do without it."""
        for name in sorted(f"{path.parent.name}/{path.name}" for path in self.root.glob(pattern)):
            try:
                yield name, of(self, name)
            except Exception as error:
                print(f"passing over {name}: {error!r}", file=sys.stderr)

    def walk(self, at, states=()):
        """The entries that follow. A snapshot follows whatever is before it, a delta every state from its base on."""
        each = [(found, entry) for found in self.opened.values() for entry in found.entries]
        for found, entry in sorted(each, key=lambda pair: (pair[1].txid, pair[0].kind)):
            if at == (entry.txid - 1, entry.before) if found.kind <= PACK else found in states and found.base <= at[0]:
                yield found, entry
                at = entry.txid, entry.after

    def path(self, stop):
        """What gives the state after this entry, or after the newest."""
        past = [entry for _, entry in self.walk(self.begin) if not stop or entry.txid <= stop]
        chains = self.chains | dict([self.begin]) | {entry.txid: entry.after for entry in past}
        if not stop:
            stop = max(chains)
            later = [path.name for path in self.root.glob("[lp]*/*.seg") if int(path.name[-20:-4], 16) > stop]
            check(not later, f"the entries end at {stop:x}, and there are {later}")
        vouched = {(f"snap/{entry.txid:016x}.seg", entry.content.hex()) for entry in past if entry.flags & IN_SNAPSHOT}
        vouched |= {(said["name"], said["content"]) for entry in past for said in entry.detail.get("vouches", ())}
        states = {found for found in self.opened.values() for entry in found.entries if self.roots.get(found.name) ==
                  found.root or chains.get(found.last) == found.after and (found.name, entry.content.hex()) in vouched}
        path = [(found, entry) for found, entry in self.walk(self.genesis, states) if entry.txid <= stop]
        check((stop, chains.get(stop)) in [(entry.txid, entry.after) for _, entry in path], f"no way to entry {stop:x}")
        return path

    def restore(self, stop, output):
        newest, size, digest = {}, 0, 0  # the newest image of each page: the object that has it, and its place there
        for found, entry in self.path(stop):
            newest |= {found.pages[place]: (found, place) for place in range(entry.start, entry.start + entry.count)}
            for page in range(entry.pages + 1, size + 1):
                newest.pop(page, None)
            size = entry.pages
        check(not output.exists(), f"{output} is there")
        with (part := output.with_name(output.name + ".part")).open("wb") as file:
            file.truncate(size * self.page_size)  # the lock page stays zeros
            for found in {found for found, _ in newest.values()}:
                for page, place, image, hash in found.images():
                    if newest.get(page) == (found, place):
                        file.seek((page - 1) * self.page_size)
                        file.write(image)
                        digest ^= int.from_bytes(hash, "big")
        check(digest == int.from_bytes(entry.digest, "big"), "the restored database has another digest")
        part.rename(output)
        return entry.txid

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, what in ("replica", "a directory"), ("output", "the file to make"), ("--identity", "age's, for its keys"):
        parser.add_argument(name, type=Path, help=what)
    parser.add_argument("--txid", type=lambda text: int(text, 16), help="in hex, otherwise the newest")
    asked = parser.parse_args()
    sys.tracebacklimit = 0  # one line says why not
    print(f"{Replica(asked.replica, asked.identity).restore(asked.txid, asked.output):016x}")
