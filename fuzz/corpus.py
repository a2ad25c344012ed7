"""A corpus as a file that git and people can read, one escaped input a line, and as a directory.

    python3 fuzz/corpus.py unpack|pack FILE DIRECTORY
"""

import pathlib
import re
import sys

NAMES = {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 39: "\\'", 92: "\\\\"}
BYTES = {text[1:].encode(): byte for byte, text in NAMES.items()}


def unescape(line):
    def one(match):
        return bytes([int(match[2], 16) if match[2] else BYTES[match[1]]])

    return re.sub(rb"\\(x(..)|.)", one, line.encode())


def escape(data):
    return "".join(NAMES.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data)


def main(verb, file, directory):
    file, directory = pathlib.Path(file), pathlib.Path(directory)
    if verb == "unpack":
        directory.mkdir(parents=True, exist_ok=True)
        for place, line in enumerate(file.read_text().splitlines()):
            (directory / str(place)).write_bytes(unescape(line))
    elif verb == "pack":
        lines = {escape(path.read_bytes()) + "\n" for path in directory.iterdir()}
        file.write_text("".join(sorted(lines)))


main(*sys.argv[1:])
