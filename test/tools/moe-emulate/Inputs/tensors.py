#!/usr/bin/env python3
"""Makes, shows and compares the safetensors files of moe-emulate's tests, with Python's own modules only.

    tensors.py make FILE arg0=F32:4x4:iota arg1=I64::7   # iota, zeros, small (-2 to 2 in a fixed order), or a number
    tensors.py show FILE NAME                            # the numbers of a tensor
    tensors.py product FILE A B C                        # that C = A B, or A times B's rows with --transposed
"""

import json
import struct
import sys

CODES = {"F32": "f", "F16": "e", "F64": "d", "I64": "q", "I32": "i", "I8": "b", "U8": "B", "BF16": None}


def encode(kind, numbers):
    if kind == "BF16":  # of numbers that bf16 holds exactly
        return b"".join(struct.pack("<f", number)[2:] for number in numbers)
    return struct.pack(f"<{len(numbers)}{CODES[kind]}", *numbers)


def decode(kind, data):
    if kind == "BF16":
        return [struct.unpack("<f", b"\0\0" + data[i : i + 2])[0] for i in range(0, len(data), 2)]
    size = struct.calcsize(CODES[kind])
    return list(struct.unpack(f"<{len(data) // size}{CODES[kind]}", data))


def filled(kind, count, how):
    if how == "iota":
        numbers = range(count)
    elif how == "zeros":
        numbers = [0] * count
    elif how == "small":
        numbers = [(i * 2654435761 >> 7) % 5 - 2 for i in range(count)]
    else:
        numbers = [float(how) if kind[0] in "FB" else int(how)] * count
    return [float(number) if kind[0] in "FB" else int(number) for number in numbers]


def make(path, words):
    header, data = {}, b""
    for word in words:
        name, description = word.split("=")
        kind, shape, how = description.split(":")
        shape = [int(extent) for extent in shape.split("x")] if shape else []
        count = 1
        for extent in shape:
            count *= extent
        part = encode(kind, filled(kind, count, how))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read(path, name):
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    entry = json.loads(content[8 : 8 + length])[name]
    begin, end = entry["data_offsets"]
    return entry["shape"], decode(entry["dtype"], content[8 + length + begin : 8 + length + end])


def product(path, names, transposed):
    (rows, depth), a = read(path, names[0])
    shape, b = read(path, names[1])
    (_, columns), c = read(path, names[2])
    if transposed:
        b = [b[j * depth + l] for l in range(depth) for j in range(columns)]
    for i in range(rows):
        for j in range(columns):
            wanted = sum(a[i * depth + l] * b[l * columns + j] for l in range(depth))
            if c[i * columns + j] != wanted:
                sys.exit(f"({i}, {j}) is {c[i * columns + j]}, not {wanted}")
    print(f"{rows} x {columns} equal")


command, path, words = sys.argv[1], sys.argv[2], sys.argv[3:]
if command == "make":
    make(path, words)
elif command == "show":
    print(*read(path, words[0])[1])
else:
    product(path, words[:3], "--transposed" in words)
