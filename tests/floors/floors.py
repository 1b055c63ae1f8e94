#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The floors of the house: what each room may include, link to and export.

    floors.py --source DIR [--lib ROOM=FILE]... [--cc COMPILER]...     check; each finding is a line; exit 1 if there is one
    floors.py --self-test --cc COMPILER                                plant every violation and see that it is found

Rules (the numbers appear in the findings):
 1. A room includes public headers of rooms above it and of itself, and internal headers of its own folder, nothing else of ours.
 2. Only crypto includes sodium or openssl, only store lmdb, only mount fuse; public headers include none of them.
 3. In the libraries: a vf_ symbol that a room uses is defined in it or in a room above; nothing calls past rule 2.
 4. Every global symbol begins with vf_ and is defined once in all rooms.
 5. Public header and library agree: what one declares VF_PUBLIC the other exports, and the reverse.
 6. The library is silent and never ends the process; no call that cannot be bounded or is not safe in threads.
 7. Every header of the house compiles alone, and twice.
 8. No .c or .h file of 600 lines, no function over 80, first line the licence, no note to self.
 9. At the top level stands only what belongs there.
10. Each test program and fuzz target is in its table, and each line of the tables has its file; each fuzz target has a corpus.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

ROOMS = ["base", "crypto", "store", "record", "audit", "vault", "grant", "station", "desk", "report", "mount"]
OWNED_HEADERS = {"crypto": r"sodium(\.h|/)|openssl/", "store": r"lmdb\.h", "mount": r"fuse"}
OWNED_SYMBOLS = {
    "crypto": r"(sodium|crypto|randombytes)_|(EVP|OPENSSL|SHA(1|224|256|384|512)|RAND|BN|ERR|EC|RSA)_",
    "store": r"mdb_",
    "mount": r"fuse_",
}
# The daemon is a program: it may speak and end. Everything else is a library.
SILENT = (r"(__)?v?f?printf(_chk)?|puts|putchar|perror|v?syslog|stdout|stderr|exit|_Exit|quick_exit", {"mount"})
UNSAFE = (r"(strcpy|strcat|stpcpy|strncat|v?sprintf|gets)|__(strcpy|strcat|stpcpy|strncat|v?sprintf)_chk|system|popen|ato(i|l|ll|f)"
          r"|strtok|s?rand|s?random|gmtime|localtime|ctime|asctime|getpwnam|getpwuid|getenv|setenv|tmpnam|mktemp|setlocale", set())
# Who needs one of these says so here, with the reason.
UNSAFE_ALLOWED = {
    ("crypto", "popen"), # --passphrase-command: the operator's own command line, as the operator
    ("crypto", "getenv"), # $CREDENTIALS_DIRECTORY
    ("mount", "getenv"), # $XDG_RUNTIME_DIR, before any thread
    ("station", "getenv"), # $XDG_RUNTIME_DIR, where the control socket is
}
TOOLCHAIN = re.compile(r"__(asan|odr_asan|tsan|ubsan|msan|sancov|sanitizer|start|stop|gcov|llvm|afl)|_GLOBAL_OFFSET|asan\.|tsan\.|llvm_gc")
TOP_LEVEL = {"meson.build", "meson_options.txt", "vaultfs", "keytool", "include", "tests", "docs", "contrib", "README.md", "LICENSE"}
MAX_LINES = 600
MAX_FUNCTION = 80


class Findings:
    def __init__(self):
        self.lines = []
        self.checked = 0

    def say(self, rule, where, what):
        self.lines.append(f"rule {rule}: {where}: {what}")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def without_comments(text):
    """Comments and strings blanked out, line numbers kept."""
    token = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def sources_below(top, *folders):
    for folder in folders:
        for base, dirs, files in os.walk(os.path.join(top, folder)):
            dirs[:] = sorted(d for d in dirs if not d.startswith((".", "build")))
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.join(base, name)


def includes_of(path):
    for n, line in enumerate(read(path).splitlines(), 1):
        m = re.match(r"\s*#\s*include\s*([<\"])([^>\"]+)[>\"]", line)
        if m:
            yield n, m.group(1), m.group(2)
        elif re.match(r"\s*#\s*include\b", line):
            yield n, "?", line.strip()


# ------------------------------------------------------------------------------------------------------- rules 1 and 2

def check_include(found, where, room, path, top, kind, name):
    if kind == "?":
        found.say(1, where, f"an include that cannot be read: {name}")
        return
    if name.startswith("vaultfs/"):
        used = os.path.splitext(name[len("vaultfs/"):])[0]
        if used not in ROOMS:
            found.say(1, where, f"{name} is no public header of a room")
        elif room is not None and ROOMS.index(used) > ROOMS.index(room):
            found.say(1, where, f"{room} uses {used}, which is below it")
        return
    if kind == '"':
        home = os.path.join(top, "vaultfs", room) if room else os.path.join(top, "keytool")
        for base in (os.path.dirname(path), home):
            target = os.path.realpath(os.path.join(base, name))
            if os.path.isfile(target) and target.startswith(os.path.realpath(home) + os.sep):
                return
        found.say(1, where, f"\"{name}\" is not a header of {room or 'keytool'}")
        return
    for owner, pattern in OWNED_HEADERS.items():
        if re.match(pattern, name) and room != owner:
            found.say(2, where, f"<{name}> belongs to {owner} alone")


def check_includes(found, top):
    for room in ROOMS:
        for path in sources_below(top, os.path.join("vaultfs", room)):
            found.checked += 1
            for n, kind, name in includes_of(path):
                check_include(found, f"{os.path.relpath(path, top)}:{n}", room, path, top, kind, name)
    for path in sources_below(top, "keytool"):
        found.checked += 1
        for n, kind, name in includes_of(path):
            check_include(found, f"{os.path.relpath(path, top)}:{n}", None, path, top, kind, name)
    for path in sources_below(top, "include"):
        found.checked += 1
        where = os.path.relpath(path, top)
        room = os.path.splitext(os.path.basename(path))[0]
        if os.path.dirname(where) != os.path.join("include", "vaultfs") or room not in ROOMS:
            found.say(1, where, "is no public header of a room")
            continue
        for n, kind, name in includes_of(path):
            check_include(found, f"{where}:{n}", room, path, top, kind, name)
            for owner, pattern in OWNED_HEADERS.items():
                if re.match(pattern, name) and owner == room:
                    found.say(2, f"{where}:{n}", f"a public header hands <{name}> to every room below")
    for entry in sorted(os.listdir(os.path.join(top, "vaultfs"))):
        if os.path.isdir(os.path.join(top, "vaultfs", entry)) and entry not in ROOMS:
            found.say(1, f"vaultfs/{entry}", "is no room of the house")


# ------------------------------------------------------------------------------------------------------- rules 3 to 6

class Library:
    def __init__(self, room):
        self.room = room
        self.defined = {}  # name: visibility
        self.used = {}     # name: object file that uses it
        self.doubles = []

    def add(self, path):
        out = subprocess.run(["readelf", "-sW", path], check=True, capture_output=True, text=True).stdout
        member = path
        for line in out.splitlines():
            if line.startswith("File: "):
                member = re.split(r"[(\[]", line[6:].strip(" )]"))[-1]
            f = line.split()
            if len(f) < 8 or not f[0].endswith(":") or f[4] not in ("GLOBAL", "WEAK", "UNIQUE"):
                continue
            visibility, section, name = f[5], f[6], f[-1].split("@")[0]
            # readelf puts [VARIANT] or <other> notes between them on some machines; the name is always last.
            if section == "UND":
                self.used.setdefault(name, os.path.basename(member))
            elif not TOOLCHAIN.match(name):
                if name in self.defined and f[4] == "GLOBAL":
                    self.doubles.append(name)
                self.defined[name] = visibility


def public_functions(path):
    """Names declared VF_PUBLIC in a header."""
    text = re.sub(r"^\s*#(?:[^\n\\]|\\.|\\\n)*$", "", without_comments(read(path)), flags=re.M | re.S)
    text = re.sub(r"__attribute__\s*\(\([^()]*(?:\([^()]*\))?[^()]*\)\)", " ", text)
    names = set()
    for statement in re.findall(r"\bVF_PUBLIC\b([^;{]*)[;{]", text):
        statement = re.sub(r"\bVF_PRINTF\s*\([^)]*\)", " ", statement)
        function = re.search(r"\b(vf_[a-z0-9_]+)\s*\(", statement)
        variable = re.search(r"\b(vf_[a-z0-9_]+)\s*(\[[^]]*\]\s*)*$", statement.strip())
        if function or variable:
            names.add((function or variable).group(1))
    return names


def check_symbols(found, top, libs):
    homes = {}
    for room in ROOMS:
        if room in libs:
            for name in libs[room].defined:
                homes.setdefault(name, []).append(room)
    for name, rooms in sorted(homes.items()):
        if not name.startswith("vf_"):
            found.say(4, rooms[0], f"exports {name}, which does not begin with vf_")
        if len(rooms) > 1:
            found.say(4, name, f"is defined in {' and '.join(rooms)}")
    for room, lib in libs.items():
        found.checked += len(lib.defined) + len(lib.used)
        for name in lib.doubles:
            found.say(4, room, f"defines {name} twice")
        for name, where in sorted(lib.used.items()):
            if name in lib.defined:
                continue
            check_use(found, room, name, where, homes.get(name, []))
        check_header(found, top, room, lib)


def check_use(found, room, name, where, homes):
    if name.startswith("vf_"):
        if not homes:
            found.say(3, f"{room} ({where})", f"uses {name}, which no room defines")
        for home in homes:
            if ROOMS.index(home) > ROOMS.index(room):
                found.say(3, f"{room} ({where})", f"uses {name} of {home}, which is below it")
        return
    for owner, pattern in OWNED_SYMBOLS.items():
        if re.match(pattern, name) and room != owner:
            found.say(3, f"{room} ({where})", f"uses {name}: that is for {owner} alone")
    for (pattern, exempt), what in ((SILENT, "a library is silent and never ends the process"), (UNSAFE, "not a call for this house")):
        if re.fullmatch(pattern, name) and room not in exempt and (room, name) not in UNSAFE_ALLOWED:
            found.say(6, f"{room} ({where})", f"uses {name}: {what}")


def check_header(found, top, room, lib):
    header = os.path.join(top, "include", "vaultfs", room + ".h")
    declared = public_functions(header) if os.path.exists(header) else set()
    exported = {name for name, visibility in lib.defined.items() if visibility == "DEFAULT" and name.startswith("vf_")}
    for name in sorted(declared - set(lib.defined)):
        found.say(5, f"include/vaultfs/{room}.h", f"declares {name}, which the room does not define")
    for name in sorted(exported - declared):
        found.say(5, room, f"exports {name}, which its public header does not declare VF_PUBLIC")
    for name in sorted((declared & set(lib.defined)) - exported):
        found.say(5, room, f"hides {name}, which its public header declares VF_PUBLIC")


def check_every_room_has_a_library(found, top, libs):
    for room in ROOMS:
        folder = os.path.join(top, "vaultfs", room)
        if os.path.isdir(folder) and room not in libs and any(n.endswith(".c") for n in os.listdir(folder)):
            found.say(3, f"vaultfs/{room}", f"has sources but its meson.build makes no {room}_lib")


# ------------------------------------------------------------------------------------------------------- rules 7 to 9

def check_headers_alone(found, top, compilers):
    headers = [p for p in sources_below(top, "include", "vaultfs", "keytool") if p.endswith(".h")]
    for cc in compilers:
        for path in headers:
            found.checked += 1
            text = f'#include "{path}"\n#include "{path}"\nextern int vf_something;\n'
            # FUSE_USE_VERSION and the rest as meson.build gives them; library folders only where the room may have them.
            flags = ["-std=gnu17", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror",
                     "-D_GNU_SOURCE", "-DFUSE_USE_VERSION=314", "-D_FILE_OFFSET_BITS=64", "-I", os.path.join(top, "include")]
            if os.path.join("vaultfs", "mount") in path:
                flags += subprocess.run(["pkg-config", "--cflags", "fuse3"], capture_output=True, text=True).stdout.split()
            done = subprocess.run([cc] + flags + ["-x", "c", "-"], input=text, capture_output=True, text=True)
            if done.returncode != 0:
                first = next((l for l in done.stderr.splitlines() if "error" in l), done.stderr.strip())
                found.say(7, os.path.relpath(path, top), f"does not compile alone with {cc}: {first}")


def check_shape(found, top):
    for path in sources_below(top, "include", "vaultfs", "keytool", "tests"):
        found.checked += 1
        where = os.path.relpath(path, top)
        text = read(path)
        lines = text.splitlines()
        if len(lines) >= MAX_LINES:
            found.say(8, where, f"{len(lines)} lines, {MAX_LINES - 1} at most")
        if not lines or lines[0] != "/* SPDX-License-Identifier: MIT */":
            found.say(8, where, "the first line is not the licence")
        if not text.endswith("\n"):
            found.say(8, where, "the last line does not end")
        for n, line in enumerate(lines, 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                found.say(8, f"{where}:{n}", "a note to self")
        # The house style puts the braces of a function, and of nothing else, into the first column.
        start = None
        for n, line in enumerate(without_comments(text).splitlines(), 1):
            if line.rstrip() == "{":
                start = n
            elif line.rstrip() == "}" and start is not None:
                if n - start - 1 > MAX_FUNCTION:
                    found.say(8, f"{where}:{start}", f"a function of {n - start - 1} lines, {MAX_FUNCTION} at most")
                start = None


def check_top_level(found, top):
    for entry in sorted(os.listdir(top)):
        if entry not in TOP_LEVEL and not entry.startswith((".", "build")):
            found.say(9, entry, "does not belong at the top level")


# -------------------------------------------------------------------------------------------------------------- rule 10

def check_tables(found, top):
    for folder, prefix in (("unit", "test_"), ("fuzz", "fuzz_")):
        here = os.path.join(top, "tests", folder)
        table = os.path.join(here, "meson.build")
        if not os.path.exists(table):
            continue
        text = re.sub(r"#[^\n]*", "", read(table))
        listed = set(re.findall(r"\['(%s\w+)'\s*,\s*\[" % prefix, text))
        sources = set(re.findall(r"'(\w+\.c)'", text))
        files = {name for name in os.listdir(here) if name.endswith(".c")}
        found.checked += len(files)
        for name in sorted(files - sources):
            found.say(10, f"tests/{folder}/{name}", "is in no line of the table: it never runs")
        for name in sorted(sources - files):
            found.say(10, f"tests/{folder}/meson.build", f"{name} is missing")
        if folder == "fuzz":
            for name in sorted(listed):
                corpus = os.path.join(here, "corpus", name[len("fuzz_"):])
                if not os.path.isdir(corpus) or not os.listdir(corpus):
                    found.say(10, f"tests/fuzz/corpus/{name[len('fuzz_'):]}", "is missing or empty")


# ---------------------------------------------------------------------------------------------------------------- runs

def check(top, libs, compilers):
    found = Findings()
    check_includes(found, top)
    check_symbols(found, top, libs)
    check_every_room_has_a_library(found, top, libs)
    check_headers_alone(found, top, compilers)
    check_shape(found, top)
    check_top_level(found, top)
    check_tables(found, top)
    return found


def self_test(cc):
    """A small clean house, and each violation planted into it alone: exactly its rule must speak."""
    spdx = "/* SPDX-License-Identifier: MIT */\n"
    public = '__attribute__((visibility("default")))'
    house = {
        "meson.build": "",
        "include/vaultfs/base.h": spdx + f"#ifndef B\n#define B\n#define VF_PUBLIC {public}\nVF_PUBLIC int vf_low(int a);\n#endif\n",
        "include/vaultfs/store.h": spdx + "#ifndef S\n#define S\n#include <vaultfs/base.h>\nVF_PUBLIC int vf_mid(\n    int a);\n#endif\n",
        "vaultfs/base/low.c": spdx + '#include "vaultfs/base.h"\n#include "low.h"\nint vf_low(int a)\n{\n    return a + VF_LOW_ONE;\n}\n',
        "vaultfs/base/low.h": spdx + "#ifndef L\n#define L\n#define VF_LOW_ONE 1\n#endif\n",
        "vaultfs/store/mid.c": spdx + "#include <vaultfs/store.h>\nint vf_mid(int a)\n{\n    return vf_low(a);\n}\n",
        "tests/unit/meson.build": "t = [\n['test_low', ['test_low.c'], []],\n]\n",
        "tests/unit/test_low.c": spdx,
        "tests/fuzz/meson.build": "t = [\n['fuzz_low', ['fuzz_low.c'], []],\n]\ne('replay.c')\n",
        "tests/fuzz/fuzz_low.c": spdx,
        "tests/fuzz/replay.c": spdx,
        "tests/fuzz/corpus/low/one": "x",
        "keytool/main.c": spdx + "#include <vaultfs/store.h>\nint main(void)\n{\n    return vf_mid(0);\n}\n",
    }
    base_c, base_h, mid_c = house["vaultfs/base/low.c"], house["include/vaultfs/base.h"], house["vaultfs/store/mid.c"]
    long_body = "int vf_low(int a)\n{\n" + "    a++;\n" * 81 + "    return a;\n}\n"
    planted = [
        (1, "which is below it", "vaultfs/base/low.c", base_c.replace("base.h", "store.h", 1)),
        (1, "which is below it", "include/vaultfs/base.h", base_h.replace("#define B\n", "#define B\n#include <vaultfs/store.h>\n")),
        (1, "is not a header of store", "vaultfs/store/mid.c", mid_c.replace(spdx, spdx + '#include "../base/low.h"\n')),
        (1, "is not a header of store", "vaultfs/store/mid.c", mid_c.replace(spdx, spdx + '#include "low.h"\n')),
        (1, "is no public header", "vaultfs/store/mid.c", mid_c.replace(spdx, spdx + "#include <vaultfs/attic.h>\n")),
        (1, "cannot be read", "vaultfs/store/mid.c", mid_c.replace(spdx, spdx + "#include HEADER\n")),
        (1, "is no room", "vaultfs/attic/a.c", spdx),
        (2, "belongs to crypto", "vaultfs/store/mid.c", mid_c.replace(spdx, spdx + "#include <sodium.h>\n")),
        (2, "belongs to crypto", "keytool/main.c", spdx + "#include <openssl/evp.h>\n"),
        (2, "belongs to store", "vaultfs/base/low.c", base_c.replace(spdx, spdx + "#include <lmdb.h>\n")),
        (2, "belongs to mount", "vaultfs/base/low.c", base_c.replace(spdx, spdx + "#include <fuse_lowlevel.h>\n")),
        (2, "hands <lmdb.h>", "include/vaultfs/store.h", house["include/vaultfs/store.h"].replace("#define S\n", "#define S\n#include <lmdb.h>\n")),
        (3, "of store, which is below it", "vaultfs/base/low.c", base_c + "int vf_mid(int a);\nint vf_two(int a)\n{\n    return vf_mid(a);\n}\n"),
        (3, "which no room defines", "vaultfs/base/low.c", base_c + "int vf_gone(void);\nint vf_two(void)\n{\n    return vf_gone();\n}\n"),
        (3, "for crypto alone", "vaultfs/store/mid.c", mid_c + "int sodium_init(void);\nint vf_two(void)\n{\n    return sodium_init();\n}\n"),
        (3, "for store alone", "vaultfs/base/low.c", base_c + "int mdb_open(void);\nint vf_two(void)\n{\n    return mdb_open();\n}\n"),
        (3, "makes no audit_lib", "vaultfs/audit/a.c", spdx),
        (4, "does not begin with vf_", "vaultfs/base/low.c", base_c + "int helper;\n"),
        (4, "is defined in base and store", "vaultfs/store/mid.c", mid_c + "int vf_low(int a)\n{\n    return a;\n}\n"),
        (5, "does not define", "include/vaultfs/base.h", base_h.replace("#endif", "VF_PUBLIC const char *vf_missing(void);\n#endif")),
        (5, "does not declare VF_PUBLIC", "vaultfs/base/low.c", base_c + f"{public} int vf_extra;\n"),
        (5, "hides vf_low", "vaultfs/base/low.c", base_c.replace('#include "vaultfs/base.h"\n', "")),
        (6, "silent", "vaultfs/base/low.c", base_c + 'int puts(const char *);\nint vf_two(void)\n{\n    return puts("x");\n}\n'),
        (6, "not a call", "vaultfs/base/low.c", base_c + "int atoi(const char *);\nint vf_two(const char *s)\n{\n    return atoi(s);\n}\n"),
        (7, "does not compile alone", "vaultfs/base/low.h", spdx + "size_t vf_size(void);\n"),
        (7, "does not compile alone", "vaultfs/base/low.h", spdx + "#define VF_LOW_ONE 1\nstruct twice {\n    int a;\n};\n"),
        (8, "lines, 599 at most", "vaultfs/base/low.c", base_c + "\n" * 593),
        (8, "a function of 82 lines", "vaultfs/base/low.c", base_c.split("int vf_low")[0] + long_body),
        (8, "not the licence", "vaultfs/store/mid.c", mid_c[len(spdx):]),
        (8, "note to self", "vaultfs/store/mid.c", mid_c + "/* TODO: later */\n"),
        (8, "does not end", "vaultfs/store/mid.c", mid_c + "/* end */"),
        (9, "does not belong", "notes.txt", "x"),
        (10, "it never runs", "tests/unit/test_high.c", spdx),
        (10, "it never runs", "tests/fuzz/meson.build", "t = [\n# ['fuzz_low', ['fuzz_low.c'], []],\n]\ne('replay.c')\n"),
        (10, "test_high.c is missing", "tests/unit/meson.build", "['test_low', ['test_low.c'], []],\n['test_high', ['test_high.c'], []]\n"),
        (10, "corpus/high: is missing", "tests/fuzz/meson.build", "['fuzz_high', ['fuzz_low.c'], []]\n['replay.c']"),
    ]

    def run(change_path=None, change=None):
        with tempfile.TemporaryDirectory() as top:
            files = dict(house)
            if change_path:
                files[change_path] = change
            for name, text in files.items():
                path = os.path.join(top, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
            libs = {}
            for room, source in (("base", "low"), ("store", "mid")):
                obj = os.path.join(top, f"build-{room}.o")
                done = subprocess.run([cc, "-w", "-O1", "-fvisibility=hidden", "-I", os.path.join(top, "include"), "-I",
                                       os.path.join(top, "vaultfs", "base"), "-DHEADER=<vaultfs/base.h>", "-c", "-o", obj,
                                       os.path.join(top, "vaultfs", room, source + ".c")], capture_output=True, text=True)
                # What is planted may not compile (no such library here); the rules on sources speak all the same.
                if done.returncode == 0:
                    libs[room] = Library(room)
                    libs[room].add(obj)
            found = check(top, libs, [cc])
            unbuilt = ["base", "store"] if change_path and len(libs) < 2 else []
            return [l for l in found.lines if not any(f"makes no {r}_lib" in l or "which no room defines" in l for r in unbuilt)]

    failures = 0
    clean = run()
    if clean:
        failures += 1
        print("a clean house has findings:", *clean, sep="\n  ")
    for rule, words, path, text in planted:
        lines = run(path, text)
        if not any(l.startswith(f"rule {rule}: ") and words in l for l in lines):
            failures += 1
            print(f"not found: rule {rule}, \"{words}\" in {path}; findings:", *lines, sep="\n  ")
    print(f"{len(planted) + 1} houses, {failures} wrong")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source")
    parser.add_argument("--lib", action="append", default=[])
    parser.add_argument("--cc", action="append", default=[])
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return self_test((args.cc or ["cc"])[0])
    libs = {}
    for pair in args.lib:
        room, path = pair.split("=", 1)
        libs.setdefault(room, Library(room)).add(path)
    found = check(args.source, libs, args.cc)
    for line in found.lines:
        print(line)
    print(f"{len(libs)} rooms, {found.checked} things looked at, {len(found.lines)} findings")
    return 1 if found.lines else 0


if __name__ == "__main__":
    sys.exit(main())
