"""A tar writer that can also write bad archives.

The program under test reads archives that a hostile registry may have made. tarfile and GNU tar refuse to write
most of what such an archive holds, so the headers are made here, byte by byte. Every method returns the builder,
so that a layer reads as one chain:

    layer = TarBuilder().dir("etc").file("etc/motd", b"hello\\n").whiteout("etc/passwd").bytes()
"""

import struct

BLOCK = 512
REGULAR, HARDLINK, SYMLINK, CHAR, BLOCKDEV, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
DEFAULT_MTIME = 1_600_000_000


def as_bytes(name):
    """Names may be given as text or as bytes that are no text."""
    return name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogateescape")


def padding(size):
    """The zero bytes that fill the last block of `size` bytes."""
    return b"\0" * (-size % BLOCK)


def number(value, width):
    """A numeric field: octal where it fits, GNU base-256 where not (large or negative)."""
    digits = width - 1
    if 0 <= value < 8 ** digits:
        return b"%0*o\0" % (digits, value)
    return (value % (1 << (8 * width)) | 0x80 << (8 * (width - 1))).to_bytes(width, "big")


def pax_records(records):
    """The body of a PAX header; values may be bytes, text or numbers."""
    body = b""
    for key, value in records.items():
        payload = b" " + as_bytes(key) + b"=" + as_bytes(value) + b"\n"
        length = len(payload) + 1
        while len(b"%d" % length) + len(payload) != length:
            length = len(b"%d" % length) + len(payload)
        body += b"%d" % length + payload
    return body


def header(name, kind, *, mode=0o644, uid=0, gid=0, size=0, mtime=0, link=b"", dev=(0, 0), magic=b"ustar\x0000",
           uname=b"", gname=b"", prefix=b""):
    """One 512-byte header. Names longer than their field are cut: callers announce them before."""
    fields = struct.pack(
        "100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x",
        name[:100], number(mode, 8), number(uid, 8), number(gid, 8), number(size, 12), number(mtime, 12),
        b" " * 8, kind, link[:100], magic, uname, gname, number(dev[0], 8), number(dev[1], 8), prefix)
    checksum = b"%06o\0 " % sum(fields)
    return fields[:148] + checksum + fields[156:]


class TarBuilder:
    """Collects entries of one archive; `bytes()` is the archive."""

    def __init__(self, mtime=DEFAULT_MTIME, uid=0, gid=0, long_names="gnu"):
        """long_names: how a name over 100 bytes is written: 'gnu', 'pax' or 'cut'."""
        self._parts = []
        self._defaults = {"mtime": mtime, "uid": uid, "gid": gid}
        self._long_names = long_names

    def entry(self, name, kind=REGULAR, data=b"", *, mode=0o644, link=b"", pax=None, long_names=None, size=None,
              **fields):
        """Any entry at all. `pax` is a dict of arbitrary records; `size` may lie about the data.

        A fractional mtime becomes a PAX record, as GNU tar and Go write it.
        """
        name, link, pax = as_bytes(name), as_bytes(link), dict(pax or {})
        fields = {**self._defaults, **fields}
        if isinstance(fields["mtime"], float):
            pax.setdefault("mtime", repr(fields["mtime"]))
            fields["mtime"] = int(fields["mtime"])
        self._announce(name, link, pax, long_names or self._long_names)
        if pax:
            body = pax_records(pax)
            self.raw(header(b"PaxHeaders/x", b"x", size=len(body)) + body + padding(len(body)))
        self.raw(header(name, kind, mode=mode, link=link, size=len(data) if size is None else size, **fields))
        return self.raw(data + padding(len(data)))

    def _announce(self, name, link, pax, style):
        """Write the long forms of a name and of a link target in front of the header."""
        for value, kind, key in ((link, b"K", "linkpath"), (name, b"L", "path")):
            if len(value) <= 100 or style == "cut":
                continue
            if style == "pax":
                pax.setdefault(key, value)
            else:
                body = value + b"\0"
                self.raw(header(b"././@LongLink", kind, size=len(body), magic=b"ustar  \0") + body + padding(len(body)))

    def dir(self, name, mode=0o755, slash=True, **fields):
        name = as_bytes(name)
        return self.entry(name if name.endswith(b"/") or not slash else name + b"/", DIRECTORY, mode=mode, **fields)

    def file(self, name, data=b"", mode=0o644, **fields):
        return self.entry(name, REGULAR, as_bytes(data), mode=mode, **fields)

    def hardlink(self, name, target, **fields):
        return self.entry(name, HARDLINK, link=target, **fields)

    def symlink(self, name, target, mode=0o777, **fields):
        return self.entry(name, SYMLINK, link=target, mode=mode, **fields)

    def fifo(self, name, **fields):
        return self.entry(name, FIFO, **fields)

    def char(self, name, major, minor, **fields):
        return self.entry(name, CHAR, dev=(major, minor), **fields)

    def block(self, name, major, minor, **fields):
        return self.entry(name, BLOCKDEV, dev=(major, minor), **fields)

    def whiteout(self, name, **fields):
        """The deletion of `name`, as image layers write it."""
        parent, slash, last = as_bytes(name).rpartition(b"/")
        return self.file(parent + slash + b".wh." + last, mode=0, **fields)

    def opaque(self, directory=b"", **fields):
        """The mark that hides what lower layers hold in `directory` (b"" is the root)."""
        directory = as_bytes(directory)
        return self.file((directory.rstrip(b"/") + b"/" if directory else b"") + b".wh..wh..opq", mode=0, **fields)

    def sparse(self, name, size, pieces, style="pax1", **fields):
        """A sparse file of `size` bytes holding `pieces`, a list of (offset, data).

        All pieces but the last must be multiples of 512 bytes: readers disagree on padding between others. The map
        closes with an empty piece at the end of the file, as GNU tar writes it, so that a hole there has its length.
        Styles: 'pax1' and 'pax0' are GNU tar's PAX formats 1.0 and 0.1, 'gnu' its old header (at most 3 pieces).
        """
        name, data = as_bytes(name), b"".join(piece for _, piece in pieces)
        spans = [(offset, len(piece)) for offset, piece in pieces] + [(size, 0)]
        if any(length % BLOCK for _, length in spans[:-2]):
            raise ValueError("all pieces but the last must be multiples of 512 bytes")
        if style == "gnu":
            return self._sparse_gnu(name, size, spans, data, fields)
        pax = {"GNU.sparse.name": name}
        if style == "pax0":
            pax.update({"GNU.sparse.size": size, "GNU.sparse.numblocks": len(spans),
                        "GNU.sparse.map": ",".join(f"{offset},{length}" for offset, length in spans)})
        else:
            pax.update({"GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.realsize": size})
            table = b"".join(b"%d\n" % n for n in [len(spans), *(n for span in spans for n in span)])
            data = table + padding(len(table)) + data
        return self.entry(b"GNUSparseFile.0/" + name.rpartition(b"/")[2], REGULAR, data, pax=pax, **fields)

    def _sparse_gnu(self, name, size, spans, data, fields):
        """Type 'S': the map lies in the header, at 386; the real size at 483."""
        fields = {**self._defaults, "mode": 0o644, **fields}
        block = bytearray(header(name, b"S", size=len(data), magic=b"ustar  \0", **fields))
        for index, (offset, length) in enumerate(spans[:4]):
            block[386 + 24 * index:410 + 24 * index] = number(offset, 12) + number(length, 12)
        block[345:386] = bytes(41)
        block[482:483] = b"\0"
        block[483:495] = number(size, 12)
        block[386 + 24 * len(spans[:4]):482] = bytes(482 - 386 - 24 * len(spans[:4]))
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return self.raw(bytes(block) + data + padding(len(data)))

    def global_pax(self, records):
        """A PAX header of type 'g', which holds for all that follows."""
        body = pax_records(records)
        return self.raw(header(b"pax_global_header", b"g", size=len(body)) + body + padding(len(body)))

    def raw(self, data):
        """Bytes as they are: whole tars, rubbish, half a header."""
        self._parts.append(bytes(data))
        return self

    def bytes(self, end=True):
        """The archive; end=False leaves out the two zero blocks that close it."""
        return b"".join(self._parts) + (bytes(2 * BLOCK) if end else b"")
