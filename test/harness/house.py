#!/usr/bin/env python3
"""The house rules that a compiler does not see; prints each breach and fails.

Layers: a folder includes only itself and the folders before it in its list. No
circle of includes between files (a .c or .cpp and its header count as one). No
file over 600 lines, no function over 60. The core includes nothing of
PostgreSQL, the shim nothing of OpenSSL; PG_VERSION_NUM stands in compat.h alone.
"""
import pathlib
import re
import sys

CORE = ["crypto", "keys", "formats", "api"]
SHIM = ["support", "keys", "columns", "values", "rows", "rotation", "lifecycle",
        "applications", "health", ""]  # "": module.c
MAX_FILE = 600
MAX_FUNCTION = 60

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve() / "src"
breaches = []


def breach(path, line, what):
    breaches.append(f"{path.relative_to(root.parent)}:{line}: {what}")


def without_comments(text):
    """The text with comments and strings blanked, line by line as it was."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def resolve(path, name):
    """The source file that an include names, or None for one of another project."""
    part = "core" if (root / "core") in path.parents else "pg"
    for base in (path.parent, root, root / part):
        candidate = (base / name).resolve()
        if candidate.is_file() and root in candidate.parents:
            return candidate
    return None


def layer(path):
    """(part, number of the layer) of a source file."""
    parts = path.relative_to(root).parts
    folder = parts[1] if len(parts) > 2 else ""
    layers = CORE if parts[0] == "core" else SHIM
    return parts[0], layers.index(folder) if folder in layers else None


def check_includes(path, text, edges):
    part, mine = layer(path)
    if mine is None:
        breach(path, 1, "lies in no folder of a layer")
        return
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not match:
            continue
        name = match.group(1)
        if part == "core" and re.match(r"postgres|libpq|catalog/|utils/|executor/|access/", name):
            breach(path, number, f"the core includes PostgreSQL's {name}")
        if part == "pg" and re.match(r"openssl/|intel-ipsec-mb", name):
            breach(path, number, f"the shim includes {name}")
        target = resolve(path, name)
        if target is None:
            continue
        their_part, theirs = layer(target)
        if their_part == part:
            if theirs is None or theirs > mine:
                breach(path, number, f"includes {name}, of a folder below its own")
        elif part == "core" or theirs != CORE.index("api"):
            breach(path, number, f"includes {name}: only the core's api/ is open to the shim")
        edges.setdefault(path.with_suffix(""), set()).add(target.with_suffix(""))


def check_circles(edges):
    state = {}

    def visit(node, trail):
        state[node] = "open"
        for target in sorted(edges.get(node, ())):
            if target == node:
                continue
            if state.get(target) == "open":
                circle = trail[trail.index(target):] + [target]
                breach(target, 1, "circle of includes: " + " -> ".join(n.name for n in circle))
            elif target not in state:
                visit(target, trail + [target])
        state[node] = "done"

    for node in sorted(edges):
        if node not in state:
            visit(node, [node])


def opening(lines, last):
    """What stands before a brace: the signature of a function, or the head of a type."""
    head = []
    while last >= 0 and lines[last] and lines[last][-1] not in ";}" and len(head) < 12:
        head.append(lines[last])
        last -= 1
    return " ".join(reversed(head))


def check_sizes(path, text):
    lines = [line.rstrip() for line in text.split("\n")]
    if len(lines) - 1 > MAX_FILE:
        breach(path, 1, f"has {len(lines) - 1} lines, more than {MAX_FILE}")
    start = None
    for number, line in enumerate(lines, 1):
        # In the project's format a function's body is the brace alone on column 0.
        if line == "{" and "(" in opening(lines, number - 2):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start + 1 > MAX_FUNCTION:
                breach(path, start, f"function of {number - start + 1} lines, more than "
                                    f"{MAX_FUNCTION}")
            start = None


def main():
    edges = {}
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".c", ".h", ".cpp"):
            continue
        text = path.read_text()
        bare = without_comments(text)
        check_includes(path, text, edges)
        check_sizes(path, bare)
        if path.name != "compat.h" and "core" not in path.parts:
            for number, line in enumerate(bare.split("\n"), 1):
                if "PG_VERSION_NUM" in line:
                    breach(path, number, "tests the PostgreSQL version; compat.h does that")
    check_circles(edges)
    for line in breaches:
        print(line)
    return 1 if breaches else 0


sys.exit(main())
