#!/usr/bin/env python3
"""Compares every #include with the dependencies that the CMake lists declare.

    tests/layering_test.py [ROOT]       check the tree (default: the checkout this file is in)
    tests/layering_test.py --self-test  seed one violation of each rule and expect it to be found

Rules, each with the name that a finding starts with:

  undeclared   A folder includes another folder's header without declaring that folder's target in
               DEPS. What a declared target itself declares counts as declared too: DEPS are PUBLIC,
               so a header that is part of another's contract comes with it.
  direction    A folder depends on one that it may not depend on (ALLOWED below).
  relative     An #include of ours that is not root-relative.
  orphan       A .cc file that no CMakeLists.txt names: it is compiled by nobody.
  fold-io      correlate/ includes a network header. The fold does no I/O.
  fold-clock   correlate/ reads a clock or a random source. The fold's only clock is the Tick.
  beast        More than eight files include Boost.Beast (17 s and 730 MB each to compile).
  co-await     A braced temporary inside a co_await expression: GCC 12 corrupts memory silently.
"""

import os
import re
import sys
import tempfile

TOPS = ("base", "config", "ingest", "correlate", "exporters", "dashboards", "gateway", "tests")
BEAST_LIMIT = 8

# Who may depend on whom. A pattern ending in /* stands for everything below. `base` and `base/*`
# are allowed to everybody except correlate, which gets `base` alone: base/net is network I/O.
# Tests may depend on everything that they declare.
FOLD_PARTS = ["correlate/window", "correlate/derive", "correlate/sampling", "correlate/analysis", "correlate/store"]
ALLOWED = [
    ("base", []),
    ("base/*", ["base", "base/*"]),
    ("config", ["base", "config/*"]),
    ("config/*", ["base", "config"]),
    ("correlate/model", ["base"]),
    ("correlate/pipeline", ["base", "correlate/model"] + FOLD_PARTS),
    ("correlate/*", ["base", "correlate/model"]),
    ("ingest/receivers", ["base", "base/*", "correlate/model", "ingest/http", "ingest/decode", "ingest/journal"]),
    ("ingest/decode", ["base", "base/*", "correlate/model", "ingest/journal"]),  # Fills the journal's submissions.
    ("ingest/*", ["base", "base/*", "correlate/model"]),
    ("exporters/sinks", ["base", "base/*", "correlate/model", "exporters/lanes", "exporters/encode"]),
    ("exporters/*", ["base", "base/*", "correlate/model"]),
    # DESIGN draws gateway/api above the store and the encoders only. It also shows the state of every part
    # (status page, self-telemetry), so it may see what is below; the composition root may not be seen by it.
    ("gateway/api", ["base", "base/*", "config", "config/*", "correlate/*", "ingest/*", "exporters/*", "gateway/core",
                     "gateway/telemetry"]),
    ("dashboards", ["base"]),  # Files as constants.
    ("gateway", ["*"]),
    ("gateway/*", ["*"]),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
NETWORK = re.compile(r"^(boost/(asio|beast)|sys/socket\.h|sys/epoll\.h|netinet/|arpa/|netdb\.h|poll\.h|grpc|nghttp2|"
                     r"openssl/|base/net/)")
CLOCK_INCLUDE = re.compile(r"^(ctime|time\.h|sys/time\.h|random|sys/random\.h|absl/time/|absl/random/)")
CLOCK_USE = re.compile(r"\b(system_clock|steady_clock|high_resolution_clock|clock_gettime|gettimeofday|random_device|"
                       r"__rdtsc|getrandom|sleep_for|sleep_until)\b|\b(?:std::)?(?:time|rand|clock)\s*\(\s*(?:nullptr|NULL|0)?\s*\)")


def blank_comments_and_strings(text):
    """Same length and line breaks, with comments and literals blanked, so that offsets stay true."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
                       re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def braced_temporaries(code):
    """Offsets of braced temporaries within the operand of a co_await. `code` is already blanked."""
    for match in re.finditer(r"\bco_await\b", code):
        depth = 0
        for i in range(match.end(), len(code)):
            c = code[i]
            if c in "([":
                depth += 1
            elif c in ")]":
                depth -= 1
                if depth < 0:
                    break
            elif c == ";" and depth <= 0:
                break
            elif c == "{":
                before = code[match.end():i].rstrip()
                lambda_body = (before.endswith((")", "]", "mutable", "noexcept")) or
                               re.search(r"->\s*[\w:<>,&* ]+$", before))
                if lambda_body and depth == 0:
                    break  # `if (co_await x) {`: the statement is over.
                if depth > 0 and not lambda_body:
                    yield i
                    break
                if depth == 0:
                    # `co_await Awaitable{...}` is a braced temporary as well.
                    if re.search(r"[\w>]$", before):
                        yield i
                    break


class Tree:
    def __init__(self, root):
        self.root = root
        self.targets = {}  # name -> (folder, direct dependencies)
        self.folder_targets = {}  # folder -> [name]
        self.lists = {}  # folder -> text of its CMakeLists.txt
        self.sources = []  # root-relative paths
        for top in TOPS:
            for folder, folders, files in os.walk(os.path.join(root, top)):
                folders[:] = sorted(f for f in folders if f not in ("node_modules", "__pycache__", "build"))
                relative = os.path.relpath(folder, root)
                if "CMakeLists.txt" in files:
                    self.read_list(relative, os.path.join(folder, "CMakeLists.txt"))
                self.sources += [os.path.join(relative, f) for f in sorted(files) if f.endswith((".h", ".cc"))]

    def read_list(self, folder, path):
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"#[^\n]*", "", f.read())
        self.lists[folder] = text
        for call, body in re.findall(r"\b(braid_\w+|target_link_libraries)\s*\(([^)]*)\)", text):
            words = body.split()
            if call == "target_link_libraries":
                name, deps = words[0], [w for w in words[1:] if w.startswith("braid::")]
            else:
                name, deps, key = None, [], None
                for word in words:
                    if word in ("NAME", "SRCS", "DEPS", "LIBS", "LABELS", "TIMEOUT"):
                        key = word
                    elif key == "NAME":
                        name = word
                    elif key == "DEPS":
                        deps.append(word)
                if not name:
                    continue
            _, known = self.targets.setdefault(name, (folder, []))
            known += [d.split("::")[-1] for d in deps]
            if name not in self.folder_targets.setdefault(folder, []):
                self.folder_targets[folder].append(name)

    def owner(self, path):
        """The folder whose target `path` belongs to: the nearest one above it that has a target."""
        folder = os.path.dirname(path)
        while folder and folder not in self.folder_targets:
            folder = os.path.dirname(folder)
        return folder or os.path.dirname(path)

    def is_fixture(self, folder):
        """Headers below tests/ in a folder without a target: any test may include them, and has to declare
        itself what they need."""
        return folder.startswith("tests/") and folder not in self.folder_targets

    def declared(self, folder):
        """Folders whose headers `folder` may include."""
        seen, todo = set(), [d for t in self.folder_targets.get(folder, []) for d in self.targets[t][1]]
        while todo:
            target = todo.pop()
            if target not in seen and target in self.targets:
                seen.add(target)
                todo += self.targets[target][1]
        return {self.targets[t][0] for t in seen} | {folder}


def matches(folder, pattern):
    if pattern == "*":
        return True
    if pattern.endswith("/*"):
        return folder.startswith(pattern[:-1])
    return folder == pattern


def allowed(folder, other):
    if folder == other or folder.startswith("tests"):
        return True
    for pattern, targets in ALLOWED:
        if matches(folder, pattern):
            return any(matches(other, t) for t in targets)
    return False


def check(root):
    tree = Tree(root)
    findings = []
    beast = []

    for name, (folder, deps) in sorted(tree.targets.items()):
        for dep in sorted(set(deps)):
            if dep in tree.targets and not allowed(folder, tree.targets[dep][0]):
                findings.append(f"direction: {folder}/CMakeLists.txt: {name} may not depend on {tree.targets[dep][0]}")

    for path in tree.sources:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        code = blank_comments_and_strings(text)
        owner = tree.owner(path)
        declared = tree.declared(owner)
        is_fold = path.startswith("correlate/")

        def at(offset):
            return f"{path}:{text.count(chr(10), 0, offset) + 1}"

        if path.endswith(".cc"):
            listed = tree.lists.get(owner, "")
            name = os.path.relpath(path, owner)
            if not re.search(r"(?<![\w./])(\S*/)?" + re.escape(os.path.basename(name)) + r"(?![\w.])", listed):
                findings.append(f"orphan: {path}: no CMakeLists.txt names it")

        for match in INCLUDE.finditer(text):
            if code[match.start():match.start(1)].strip() == "":
                continue  # In a comment or a literal.
            quote, header = match.groups()
            where = at(match.start(2))
            if is_fold and NETWORK.search(header):
                findings.append(f"fold-io: {where}: {header}")
            if is_fold and CLOCK_INCLUDE.search(header):
                findings.append(f"fold-clock: {where}: {header}")
            if header.startswith("boost/beast"):
                beast.append(path)
            if quote != '"':
                continue
            if header == "gateway/version.h":
                continue  # Made by CMake from gateway/version.h.in, which depends on nothing.
            if header.split("/")[0] not in TOPS:
                if os.path.exists(os.path.join(root, os.path.dirname(path), header)):
                    findings.append(f"relative: {where}: \"{header}\" is not root-relative")
                continue
            other = tree.owner(header)
            if tree.is_fixture(owner) or (owner.startswith("tests/") and tree.is_fixture(other)):
                continue
            if other != owner and not allowed(owner, other):
                findings.append(f"direction: {where}: {owner} may not include {header}")
            elif other not in declared:
                findings.append(f"undeclared: {where}: {header}, but {owner}/CMakeLists.txt does not declare {other}")

        if is_fold:
            for match in CLOCK_USE.finditer(code):
                findings.append(f"fold-clock: {at(match.start())}: {match.group()}")
        for offset in braced_temporaries(code):
            findings.append(f"co-await: {at(offset)}: name the temporary and move it in")

    if len(set(beast)) > BEAST_LIMIT:
        findings.append(f"beast: {len(set(beast))} files include Boost.Beast, {BEAST_LIMIT} may: " +
                        ", ".join(sorted(set(beast))))
    return findings, len(tree.sources), len(tree.targets)


# --- self-test -----------------------------------------------------------------------------------

CLEAN = {
    "base/CMakeLists.txt": "braid_library(NAME base SRCS status.cc)",
    "base/status.h": "#pragma once\n",
    "base/status.cc": '#include "base/status.h"\n',
    "base/net/CMakeLists.txt": "braid_library(NAME base_net SRCS http.cc DEPS braid::base)",
    "base/net/http.h": '#include "base/status.h"\n',
    "base/net/http.cc": '#include <boost/beast/http.hpp>\n#include "base/net/http.h"\n'
                        "awaitable<void> F() {\n  Options options{1};\n  co_await Send(std::move(options));\n"
                        "  if (co_await Ready(x)) {\n  }\n"
                        "  co_await Post([](int a) { return a; });\n"
                        "  // co_await Send(Options{1});\n}\n",
    "correlate/model/CMakeLists.txt": "braid_library(NAME correlate_model DEPS braid::base)",
    "correlate/model/item.h": '#include "base/status.h"\n// not a clock: std::chrono::system_clock\n',
    "correlate/window/CMakeLists.txt": "braid_library(NAME correlate_window SRCS window.cc DEPS braid::correlate_model)",
    "correlate/window/window.h": '#include "correlate/model/item.h"\n',
    "correlate/window/window.cc": '#include <chrono>\n#include "correlate/window/window.h"\n'
                                  '#include "base/status.h"\n',  # through correlate_model's DEPS
    "correlate/pipeline/CMakeLists.txt": "braid_library(NAME correlate_pipeline DEPS braid::correlate_window)",
    "correlate/pipeline/shard.h": '#include "correlate/window/window.h"\n',
    "ingest/decode/CMakeLists.txt": "braid_library(NAME ingest_decode DEPS braid::correlate_model)",
    "ingest/decode/otlp.h": '#include "correlate/model/item.h"\n',
    "exporters/sinks/CMakeLists.txt": "braid_library(NAME exporters_sinks DEPS braid::base_net)",
    "exporters/sinks/otlp.h": '#include "base/net/http.h"\n',
    "gateway/CMakeLists.txt": "braid_binary(NAME braid SRCS main.cc DEPS braid::correlate_pipeline)",
    "gateway/main.cc": '#include "correlate/pipeline/shard.h"\n',
    "tests/unit/base/CMakeLists.txt": "braid_test(NAME base_test SRCS status_test.cc DEPS braid::base)",
    "tests/unit/base/status_test.cc": '#include "base/status.h"\n',
}

# name of the case, rule expected, what is changed in the clean tree
SEEDS = [
    ("header of an undeclared folder", "undeclared",
     {"exporters/sinks/otlp.h": '#include "correlate/model/item.h"\n'}),
    ("a test that does not declare what it includes", "undeclared",
     {"tests/unit/base/status_test.cc": '#include "base/net/http.h"\n'}),
    ("base includes upward", "direction", {"base/status.h": '#include "correlate/model/item.h"\n'}),
    ("a sibling in the fold, declared", "direction",
     {"correlate/derive/CMakeLists.txt": "braid_library(NAME correlate_derive DEPS braid::correlate_window)",
      "correlate/derive/red.h": '#include "correlate/window/window.h"\n'}),
    ("model depends on pipeline", "direction",
     {"correlate/model/CMakeLists.txt": "braid_library(NAME correlate_model DEPS braid::correlate_pipeline)"}),
    ("ingest includes exporters", "direction",
     {"ingest/decode/otlp.h": '#include "exporters/sinks/otlp.h"\n'}),
    ("dependency added by target_link_libraries", "direction",
     {"ingest/decode/CMakeLists.txt": "braid_library(NAME ingest_decode)\n"
                                      "target_link_libraries(ingest_decode INTERFACE braid::exporters_sinks)"}),
    ("somebody includes gateway", "direction", {"base/net/http.h": '#include "gateway/app.h"\n'}),
    ("include beside the file", "relative", {"gateway/main.cc": '#include "app.h"\n', "gateway/app.h": ""}),
    ("source that nobody compiles", "orphan", {"base/left_over.cc": ""}),
    ("source whose name only ends like a listed one", "orphan", {"base/us.cc": ""}),
    ("asio in the fold", "fold-io", {"correlate/window/window.h": "#include <boost/asio/post.hpp>\n"}),
    ("sockets in the fold", "fold-io", {"correlate/window/window.cc": "#include <sys/socket.h>\n"}),
    ("base/net in the fold", "fold-io", {"correlate/window/window.cc": '#include "base/net/http.h"\n'}),
    ("system clock in the fold", "fold-clock",
     {"correlate/window/window.cc": "auto t = std::chrono::system_clock::now();\n"}),
    ("steady clock in the fold", "fold-clock",
     {"correlate/window/window.h": "using C = std::chrono::steady_clock;\n"}),
    ("libc clock in the fold", "fold-clock", {"correlate/window/window.cc": "long t = time(nullptr);\n"}),
    ("random seed in the fold", "fold-clock", {"correlate/window/window.cc": "std::random_device seed;\n"}),
    ("nine files with Beast", "beast",
     {"base/net/CMakeLists.txt": "braid_library(NAME base_net SRCS http.cc DEPS braid::base)",
      **{f"base/net/b{i}.h": "#include <boost/beast/core.hpp>\n" for i in range(8)}}),
    ("braced temporary", "co-await", {"base/net/http.cc": "co_await Send(Options{.a = 1});\n"}),
    ("braced temporary over two lines", "co-await", {"base/net/http.cc": "co_await Send(stream,\n  {.a = 1});\n"}),
    ("braced temporary of a template", "co-await", {"base/net/http.cc": "co_await Send(Box<int>{1});\n"}),
    ("braced awaitable", "co-await", {"base/net/http.cc": "co_await Timer{5};\n"}),
]


def self_test():
    passed, failed = 0, 0
    for case, rule, changes in [("clean tree", None, {})] + SEEDS:
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **changes}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            findings, _, _ = check(root)
        rules = {f.split(":")[0] for f in findings}
        if rules - {rule} if rule is None else rule not in rules:
            failed += 1
            print(f"FAIL {case}: expected {rule or 'nothing'}, found {findings or 'nothing'}")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    findings, files, targets = check(root)
    for finding in findings:
        print(finding)
    if not files or not targets:
        print(f"found {files} files and {targets} targets below {root}: is this the tree?")
        return 1
    print(f"{files} files in {targets} targets, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
