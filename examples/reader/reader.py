#!/usr/bin/env python3
"""Restores a database from a replica in a directory, from docs/format.md alone: see README.md."""
import argparse, io, json, mmap, struct, sys, zlib
from collections import defaultdict, namedtuple
from pathlib import Path

import lz4.block, sealed
from blake3 import blake3

SEGMENT, PACK, DELTA, SNAPSHOT, HORIZON = range(1, 6)
NAMES = ["", "log/{first:016x}.seg", "pack/{first:016x}-{last:016x}.seg", "delta/{first:016x}-{last:016x}.seg",
         "snap/{first:016x}.seg", "horizon/{base:016x}.seg", "mark/{first:016x}-{base:016x}.seg"]
HEADER = (b"\x89ebbtide", "<8xHBBI16sQQ32sB8s8s24s3sI",
          "version kind flags page_size replica first base before suite page_key index_key salt room crc")
FOOTER = b"editbbe\x89", "<8xHBBIQQ32s32sQ16s4sI", "version kind flags rows at length root after last digest room crc"
Block = namedtuple("Block", "kind codec zero stored raw crc offset")
Entry = namedtuple("Entry", "txid kind flags zero size time pages count digest content start detail before after")
COMPLETE, IN_SNAPSHOT = 1, 2  # flags of entries
FAULTS = ValueError, LookupError, struct.error, RuntimeError

def check(holds, what):
    if not holds:
        raise ValueError(what)

def number(data):
    """The next unsigned LEB128."""
    byte, = data.read(1)
    return byte if byte < 128 else byte - 128 + (number(data) << 7)

def images_of(records, page_size):
    """Each record is an image, or the steps that make one of the image before it."""
    records, image = io.BytesIO(records), b""
    while records.tell() < len(records.getbuffer()):
        length = number(records)
        end, place, base, image = records.tell() + length, 0, image, bytearray(image)
        if length == page_size:
            image = records.read(length)
        while records.tell() < end:
            copied = number(records)
            shift = number(records) if copied & 1 else 0
            source, to = place + (shift >> 1 ^ -(shift & 1)), place + (copied >> 1)
            image[place:to] = base[source:source + (copied >> 1)]
            stated = records.read(number(records))
            place = to + len(stated)
            image[to:place] = stated
        yield bytes(image)

class Object:
    """An object whose header, footer and index are as they must be; its blocks are read as they are needed."""
    def __init__(self, replica, name):
        self.name, self.keys = name, replica.keys
        with (replica.root / name).open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head, foot = self.data[:128], self.data[-128:]
        for part, magic, form, fields in (foot, *FOOTER), (head, *HEADER):
            vars(self).update(zip(fields.split(), struct.unpack(form, part)))
            check(part[:8] == magic and self.crc == zlib.crc32(part[:124]), "its header or footer is damaged")
            check(self.version == 1 and not self.flags and not any(self.room), "a newer version wrote it")
        index = self.data[self.at:-128]
        check(len(index) == self.length and blake3(head + index).digest() == self.root, "its index is damaged")
        check((self.replica, self.page_size) == (replica.identity, replica.page_size), "it is of another replica")
        check(foot[10] == head[10] and name == NAMES[self.kind].format(**vars(self)), "it belongs under another name")
        check(self.suite == bool(self.keys), "either it is encrypted or the replica, and not both")
        self.parse(self.keys.index(self, index, foot) if self.keys else index)

    def parse(self, index):
        """The rows of the index, and the chain over them."""
        counts, data = struct.unpack_from("<4I", index), io.BytesIO(index[16:])
        rows, blocks, runs, details = (io.BytesIO(data.read(n * size)) for n, size in zip(counts, (80, 16, 8, 1)))
        self.entries, self.blocks, self.pages, after, offset = [], [], [], self.before, 128
        for row in struct.iter_unpack("<BBHIII", blocks.read()):
            self.blocks.append(Block(*row, offset))
            offset += self.blocks[-1].stored
        for txid in range(self.last + 1 - counts[0], self.last + 1):
            row, own, before, start = rows.read(80), b"", after, len(self.pages)
            values = struct.unpack("<QBBHIqII16s32s", row)
            while len(self.pages) < start + values[7]:
                own += runs.read(8)
                first, length = struct.unpack("<II", own[-8:])
                self.pages += range(first, first + length)
            detail = details.read(values[4])
            after = blake3(row + own + detail, key=before).digest() if self.kind <= PACK else self.after
            self.entries.append(Entry(*values, start, detail, before, after))
            check(values[0] == txid, "txids do not follow each other")
        check(counts[0] == self.rows and not any(part.read() for part in (data, runs, details)), "rows are left over")
        check(offset == self.at and (not self.rows or (after, values[8]) == (self.after, self.digest)), "another end")

    def raw(self, block):
        """A block, decoded."""
        data = self.data[block.offset:block.offset + block.stored]
        check(zlib.crc32(data) == block.crc, f"a block of {self.name} is damaged")
        data = self.keys.block(self, block, data) if self.keys else data
        if block.codec == 2:
            records = lz4.block.decompress(data[4:], uncompressed_size=int.from_bytes(data[:4], "little"))
            return b"".join(images_of(records, self.page_size))
        return lz4.block.decompress(data, uncompressed_size=block.raw) if block.codec else data

    def images(self, wanted):
        """The pages at these places among all that it has, each proved by its hash, and the hashes by their entry."""
        hashes = b"".join(self.raw(block) for block in self.blocks if block.kind == 2)
        for entry in self.entries:
            own = hashes[16 * entry.start:16 * (entry.start + entry.count)]
            check(entry.flags & IN_SNAPSHOT or blake3(own).digest() == entry.content, f"{self.name} has other hashes")
        by_page = self.pages.__getitem__ if any(block.kind == 3 for block in self.blocks) else None
        places = iter(sorted(range(len(self.pages)), key=by_page))
        for block in (block for block in self.blocks if block.kind in (1, 3)):
            here = [next(places) for _ in range(block.raw // self.page_size)]
            data = b"" if wanted.isdisjoint(here) else self.raw(block)
            for at, place in ((at, place) for at, place in enumerate(here) if place in wanted):
                page, image = self.pages[place], data[at * self.page_size:(at + 1) * self.page_size]
                hash = blake3(blake3(image).digest() + struct.pack("<12s16xI", b"ebbtide page", page)).digest()[:16]
                check(hash == hashes[16 * place:16 * place + 16], f"page {page} of {self.name} is damaged")
                yield page, image, hash

class Replica:
    def __init__(self, root, identity):
        manifest = json.loads((root / "ebbtide.json").read_bytes())
        check(manifest["format"] == 1, "a newer version wrote it")
        self.root, self.identity, self.page_size = root, bytes.fromhex(manifest["replica"]), manifest["page_size"]
        self.keys = sealed.Keys(root, manifest, identity) if "encryption" in manifest else None
        names = sorted(str(path.relative_to(root)) for path in root.glob("*/*.seg"))
        self.opened = {name: self.open(name) for name in names}
        self.objects = [*filter(None, self.opened.values())]
        spans = [found for found in self.objects if found.kind <= PACK]
        self.next = {(entry.txid - 1, entry.before): (found, entry) for found in spans for entry in found.entries}
        self.genesis = (0, blake3(self.identity, derive_key_context="ebbtide 2026-11 chain genesis").digest())
        self.begin, kept = self.genesis, {}
        for found in (found for found in self.objects if found.kind == HORIZON):
            self.begin, kept = (found.first - 1, found.before), json.loads(b"".join(map(found.raw, found.blocks)))
        self.chains = {int(state["txid"], 16): bytes.fromhex(state["chain"]) for state in kept.get("states", ())}
        self.roots = {named["name"]: bytes.fromhex(named["root"]) for named in kept.get("objects", ())}

    def open(self, name):
        try:
            return Object(self, name)
        except FAULTS as error:
            print(f"passing over {name}: {error}", file=sys.stderr)

    def walk(self, at, stop, states=()):
        """Entries, each with its object, as far as they link; in the place of some of them the farthest of `states`."""
        while at[0] < stop:
            over = [found for found in states if found.first <= at[0] + 1 or found.kind == SNAPSHOT]
            over = max(((found.last, found.name) for found in over if at[0] < found.last <= stop), default=None)
            if not over and at not in self.next:
                return
            found, entry = (self.opened[over[1]], self.opened[over[1]].entries[0]) if over else self.next[at]
            yield found, entry
            at = entry.txid, entry.after

    def path(self, stop):
        """What gives the state after this entry, or after the newest."""
        history = [entry for _, entry in self.walk(self.begin, stop or 1 << 64)]
        chains = self.chains | dict([self.begin]) | {entry.txid: entry.after for entry in history}
        if not stop:
            stop = max(chains)
            behind = {name: int(name.split("/")[1][:16], 16) - stop for name in self.opened if name[0] in "lp"}
            lost = [name for name, far in behind.items() if 0 < far <= (1 << 20 if self.opened[name] else 1)]
            check(not lost, f"the entries end at {stop:x}, and there are {lost}")
        vouched = {f"snap/{entry.txid:016x}.seg": entry.content for entry in history if entry.flags & IN_SNAPSHOT}
        for named in (named for entry in history for named in json.loads(entry.detail or "{}").get("vouches", ())):
            vouched[named["name"]] = bytes.fromhex(named["content"])
        states = [found for found in self.objects if found.kind in (DELTA, SNAPSHOT)]
        states = [found for found in states if self.roots.get(found.name) == found.root or chains.get(found.last) ==
                  found.after and vouched.get(found.name) == found.entries[0].content]
        path = [*self.walk(self.genesis, stop, states)]
        check(path and stop in chains and path[-1][1].after == chains[stop], f"nothing leads to entry {stop:x}")
        return path

    def restore(self, stop, output):
        path, taken, wanted, digest = self.path(stop), set(), defaultdict(set), 0
        limit = size = path[-1][1].pages
        for found, entry in reversed(path):
            limit = min(limit, entry.pages)  # what a later entry cut is gone, even where the database has grown again
            for place in range(entry.start, entry.start + entry.count):
                if found.pages[place] <= limit and found.pages[place] not in taken:
                    taken.add(found.pages[place])
                    wanted[found].add(place)
            limit = 0 if entry.flags & (COMPLETE | IN_SNAPSHOT) else limit
        check(len(taken) == size - (size > (1 << 30) // self.page_size), "a page is nowhere")
        check(not output.exists(), f"{output} is there")
        with (part := output.with_name(output.name + ".part")).open("wb") as file:
            file.truncate(size * self.page_size)  # the lock page stays zeros
            for page, image, hash in (image for found, places in wanted.items() for image in found.images(places)):
                file.seek((page - 1) * self.page_size)
                file.write(image)
                digest ^= int.from_bytes(hash, "big")
        check(digest == int.from_bytes(path[-1][1].digest, "big"), "the restored database has another digest")
        part.rename(output)
        return path[-1][1].txid

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, what in ("replica", "a directory"), ("output", "the file to make"), ("--identity", "age's, for its keys"):
        parser.add_argument(name, type=Path, help=what)
    parser.add_argument("--txid", type=lambda text: int(text, 16), help="in hex; otherwise the newest")
    asked = parser.parse_args()
    try:
        print(f"{Replica(asked.replica, asked.identity).restore(asked.txid, asked.output):016x}")
    except (*FAULTS, OSError) as error:
        sys.exit(f"not restored: {error}")
