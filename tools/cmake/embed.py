#!/usr/bin/env python3
"""Writes a C++ file that has files as constants; see BraidEmbed.cmake."""

import argparse
import os

# One literal a line: compilers take long literals, but people look at them when something is wrong.
PLAIN = {ord(c) for c in map(chr, range(0x20, 0x7f)) if c not in '"\\?'}


def literal(data):
    """`data` as adjacent string literals. Octal escapes, because they end after three digits."""
    lines = data.splitlines(keepends=True) or [b""]
    return "\n".join('    "' + "".join(chr(b) if b in PLAIN else "\\n" if b == 10 else f"\\{b:03o}" for b in line) + '"'
                     for line in lines)


def main():
    parser = argparse.ArgumentParser()
    for option in ("header", "function", "root", "out"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    namespace, _, function = options.function.rpartition("::")

    out = [f"// Made by tools/cmake/embed.py.\n#include \"{options.header}\"\n\n#include <array>\n\nnamespace {namespace} {{",
           "namespace {\n"]
    entries = []
    for i, path in enumerate(options.files):
        with open(os.path.join(options.root, path), "rb") as file:
            data = file.read()
        out.append(f"constexpr char kFile{i}[] =\n{literal(data)};")
        entries.append(f"    EmbeddedFile{{.path = {literal(path.encode()).strip()}, .content = {{kFile{i}, {len(data)}}}}},")
    out.append(f"\nconstexpr std::array<EmbeddedFile, {len(entries)}> kFiles = {{")
    out += entries
    out.append(f"}};\n\n}}  // namespace\n\nstd::span<const EmbeddedFile> {function}() {{ return kFiles; }}\n\n"
               f"}}  // namespace {namespace}")
    with open(options.out, "w", encoding="ascii") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
