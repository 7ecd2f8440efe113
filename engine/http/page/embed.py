#!/usr/bin/env python3
"""The page's files as one C++ source, so that the daemon carries its page with it.

usage: embed.py OUTPUT FILE …     each FILE is served under "/" and its name; index.html under "/" as well
"""
import hashlib
import pathlib
import sys

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PLAIN = set(range(0x20, 0x7f)) - set(b'"\\?')  # a question mark could begin a trigraph


def literal(data):
    """The bytes as string literals, a line of the file in each."""
    lines = data.splitlines(keepends=True) or [b""]
    return "\n".join('    "' + "".join(chr(byte) if byte in PLAIN else f"\\{byte:03o}" for byte in line) + '"' for line in lines)


def row(path, file, data):
    etag = hashlib.sha256(data).hexdigest()[:32]
    return f'  {{"{path}", "{CONTENT_TYPES[file.suffix]}", bytes_of_{file.stem}_{file.suffix[1:]}, "\\"{etag}\\""}},'


def main():
    output, *files = (pathlib.Path(argument) for argument in sys.argv[1:])
    arrays, rows = [], []
    for file in files:
        data = file.read_bytes()
        # The length is said, since a file may hold a zero byte.
        arrays.append(f"constexpr std::string_view bytes_of_{file.stem}_{file.suffix[1:]}{{\n{literal(data)},\n    {len(data)}}};\n")
        if file.name == "index.html":
            rows.append(row("/", file, data))
        rows.append(row(f"/{file.name}", file, data))
    output.write_text("\n".join([
        '#include "engine/http/page/page_files.h"', "", "#include <array>", "",
        "namespace pfsync::engine::http {", "namespace {", "",
        *arrays,
        f"constexpr std::array<PageFile, {len(rows)}> files{{{{", *rows, "}};", "", "}  // namespace", "",
        "std::span<const PageFile> page_files() noexcept { return files; }", "",
        "}  // namespace pfsync::engine::http", ""]))


if __name__ == "__main__":
    main()
