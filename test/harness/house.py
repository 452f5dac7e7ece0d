#!/usr/bin/env python3
"""The house rules that a compiler does not see; prints each breach and fails.

Layers: a folder includes only itself and the folders before it in its list. No
circle of includes between files (a .c or .cpp and its header count as one). No
file over 600 lines, no function over 60, no line over 100 characters. The core includes nothing of
PostgreSQL, the shim nothing of OpenSSL and of the core only its API;
PG_VERSION_NUM stands in compat.h alone. Each folder has a README.md of five to
fifteen lines. Every file that the documents on the sources name exists.
"""
import pathlib
import re
import sys

CORE = ["crypto", "keys", "formats", "api"]
SHIM = ["support", "keys", "columns", "values", "rows", "rotation", "lifecycle",
        "applications", "health", ""]  # "": module.c
MAX_FILE = 600
MAX_FUNCTION = 60
MAX_LINE = 100
README_LINES = range(5, 16)

# In angle brackets the core may include these, and headers of C++ (no ".h").
CORE_MAY_INCLUDE = re.compile(
    r"[a-z_0-9]+$|openssl/|intel-ipsec-mb\.h$|s(?:ys|anitizer)/|(?:assert|dirent|errno|fcntl|immintrin|pthread|"
    r"signal|stdbool|stddef|stdint|string|time|unistd)\.h$")
CRYPTO_LIBRARY = re.compile(r"openssl/|intel-ipsec-mb")
CONTROL = re.compile(r"\s*(?:if|else|for|while|switch|do|try|catch|case|default)\b")


def without_comments(text, strings=True):
    """The text with comments, and strings, blanked; its lines stay where they are."""
    def blank(match):
        if not strings and match.group(0)[0] in "\"'":
            return match.group(0)
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


class House:
    def __init__(self, root):
        self.top = pathlib.Path(root).resolve()
        self.src = self.top / "src"
        self.breaches = []
        self.edges = {}

    def breach(self, path, line, what):
        self.breaches.append(f"{path.relative_to(self.top)}:{line}: {what}")

    # ---- includes ----

    def resolve(self, path, name):
        """The source file that an include names, or None for one of another project."""
        part = path.relative_to(self.src).parts[0]
        for base in (path.parent, self.src, self.src / part):
            candidate = (base / name).resolve()
            if candidate.is_file() and self.src in candidate.parents:
                return candidate
        return None

    def layer(self, path):
        """(part, number of the layer or None) of a source file."""
        parts = path.relative_to(self.src).parts
        layers = CORE if parts[0] == "core" else SHIM
        folder = parts[1] if len(parts) > 2 else ""
        return parts[0], layers.index(folder) if folder in layers else None

    def check_include(self, path, number, quoted, name):
        part, mine = self.layer(path)
        target = self.resolve(path, name)
        if part == "pg" and CRYPTO_LIBRARY.match(name):
            self.breach(path, number, f"the shim includes {name}")
        if target is None:
            if part == "core" and (quoted or not CORE_MAY_INCLUDE.match(name)):
                self.breach(path, number, f"the core includes {name}, which is not the core's")
            return
        their_part, theirs = self.layer(target)
        if their_part == part:
            if theirs is None or theirs > mine:
                self.breach(path, number, f"includes {name}, of a folder below its own")
        elif part == "core" or theirs != CORE.index("api"):
            self.breach(path, number, f"includes {name}: of the core only api/ is open to the shim")
        self.edges.setdefault(path.with_suffix(""), set()).add(target.with_suffix(""))

    def check_includes(self, path, code):
        if self.layer(path)[1] is None:
            self.breach(path, 1, "lies in no folder of a layer")
            return
        for number, line in enumerate(code.split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match:
                self.check_include(path, number, match.group(1) == '"', match.group(2))

    def check_circles(self):
        state = {}

        def visit(node, trail):
            state[node] = "open"
            for target in sorted(self.edges.get(node, ())):
                if target == node:
                    continue
                if state.get(target) == "open":
                    circle = trail[trail.index(target):] + [target]
                    self.breach(target, 1, "circle of includes: " +
                                " -> ".join(n.name for n in circle))
                elif target not in state:
                    visit(target, trail + [target])
            state[node] = "done"

        for node in sorted(self.edges):
            if node not in state:
                visit(node, [node])

    # ---- sizes ----

    @staticmethod
    def head(lines, last):
        """What stands before a brace: a function's signature, or the head of a type."""
        head = []
        while last >= 0 and lines[last].strip() and lines[last][-1] not in ";{}:" and \
                len(head) < 12:
            head.append(lines[last])
            last -= 1
        return " ".join(reversed(head))

    def check_sizes(self, path, code):
        """In the project's format the brace that opens a function is a line of its own."""
        lines = [line.rstrip() for line in code.split("\n")]
        if len(lines) - 1 > MAX_FILE:
            self.breach(path, 1, f"has {len(lines) - 1} lines, more than {MAX_FILE}")
        start = indent = None
        for number, line in enumerate(lines, 1):
            if start is None:
                head = self.head(lines, number - 2)
                if line.strip() == "{" and "(" in head and not CONTROL.match(head):
                    start, indent = number, line[:-1]
            elif line.startswith(indent + "}"):
                size = number - start + 1
                if size > MAX_FUNCTION:
                    self.breach(path, start, f"function of {size} lines, more than {MAX_FUNCTION}")
                start = None

    def check_lines(self, path, text):
        """clang-format breaks code, but no comments and strings."""
        for number, line in enumerate(text.split("\n"), 1):
            size = len(line.expandtabs(4))
            if size > MAX_LINE:
                self.breach(path, number, f"line of {size} characters, more than {MAX_LINE}")

    # ---- versions, documents ----

    def check_versions(self, path, code):
        if path.name == "compat.h":
            return
        in_core = self.layer(path)[0] == "core"
        for number, line in enumerate(code.split("\n"), 1):
            # The core may only ask whether it was defined, to refuse to compile then.
            if "PG_VERSION_NUM" in line and not (
                    in_core and re.match(r"#if(?:def| defined)", line)):
                self.breach(path, number, "tests the PostgreSQL version; compat.h does that")

    def check_document(self, path):
        """Files and folders in backquotes exist, from the root or from the document's folder."""
        bases = [path.parent, path.parent.parent, self.top]
        for number, line in enumerate(path.read_text().split("\n"), 1):
            for name in re.findall(r"`([\w./-]+)`", line):
                if not re.search(r"\w\.(?:c|h|cpp|py|pl|pm|sql|out|rb|json|md|map|spec)$|[^/.]/$",
                                 name) or re.search(r"[A-Z]{4}_?\.|NAME", name):
                    continue
                if name.startswith("/") or not any((base / name).exists() for base in bases):
                    self.breach(path, number, f"names {name}, which does not exist")

    def check_readmes(self):
        """Every folder with sources has a README.md, and a short one."""
        for folder in sorted({path.parent for path in self.src.rglob("*.[ch]*")} |
                             {self.src / "core", self.src / "pg"}):
            readme = folder / "README.md"
            size = readme.read_text().count("\n") if readme.exists() else 0
            if folder.is_dir() and size not in README_LINES:
                self.breach(readme, 1, f"has {size} lines, not {README_LINES[0]} to "
                                       f"{README_LINES[-1]}")

    def documents(self):
        for name in ("docs/architecture.md", "CONTRIBUTING.md", "SECURITY.md"):
            if (self.top / name).exists():
                yield self.top / name
        yield from sorted(self.src.rglob("README.md"))

    def check(self):
        """All breaches, a line each."""
        for path in sorted(self.src.rglob("*")):
            if path.suffix not in (".c", ".h", ".cpp"):
                continue
            text = path.read_text()
            code = without_comments(text)
            self.check_includes(path, without_comments(text, strings=False))
            self.check_sizes(path, code)
            self.check_lines(path, text)
            self.check_versions(path, code)
        self.check_circles()
        self.check_readmes()
        for path in self.documents():
            self.check_document(path)
        return self.breaches


if __name__ == "__main__":
    found = House(sys.argv[1] if len(sys.argv) > 1 else ".").check()
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
