#!/usr/bin/env python3
"""Copies the first images and labels of the four MNIST files: cut_mnist.py SOURCE DESTINATION.

The same source gives the same uncompressed bytes, and with the same zlib also the same gzip bytes.
"""
import argparse
import gzip
import pathlib
import struct


def cut(source, destination, count):
    """Copies an IDX file of uint8 with its first dimension reduced to `count`."""
    with gzip.open(source) as file:
        magic = file.read(4)
        dims = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
        if magic[:3] != b"\0\0\x08" or dims[0] < count:
            raise SystemExit(f"{source}: expected uint8 IDX with at least {count} examples")
        size = count
        for dim in dims[1:]:
            size *= dim
        values = file.read(size)
    if len(values) != size:
        raise SystemExit(f"{source}: {len(values)} bytes of values where {size} were expected")
    header = magic + struct.pack(f">{len(dims)}I", count, *dims[1:])
    # The gzip header has no name and no time, so that another run gives the same file.
    with open(destination, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(header + values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=pathlib.Path, help="folder with the original .gz files")
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--train", type=int, default=10000, help="training examples (default: %(default)s)")
    parser.add_argument("--test", type=int, default=2000, help="test examples (default: %(default)s)")
    args = parser.parse_args()
    args.destination.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", args.train), ("t10k", args.test)):
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{split}-{kind}-ubyte.gz"
            cut(args.source / name, args.destination / name, count)


if __name__ == "__main__":
    main()
