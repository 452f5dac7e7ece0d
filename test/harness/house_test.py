#!/usr/bin/env python3
"""Breaks each house rule once, in a small tree, and sees that house.py says so."""
import pathlib
import sys
import tempfile

from house import House

# A tree that breaks no rule. Bodies of 60 lines are as long as allowed.
LONG = "\n".join(["\tx = 1;"] * 58)
README = "What lives here.\n" * 5
CLEAN = {
    "src/core/crypto/aead.h": "#include <cstddef>\n#include <openssl/evp.h>\n",
    "src/core/crypto/aead.cpp": '#include "aead.h"\n#ifdef PG_VERSION_NUM\n#error\n#endif\n',
    "src/core/api/value.h": '#include "../crypto/aead.h"\n',
    "src/pg/support/errors.h": '#include "postgres.h"\n',
    "src/pg/support/compat.h": "#if PG_VERSION_NUM >= 160000\n#endif\n",
    "src/pg/keys/ring.h": '#include "core/api/value.h"\n#include "support/errors.h"\n',
    "src/pg/keys/ring.c": f'#include "keys/ring.h"\n\nint\nf(void)\n{{\n{LONG}\n}}\n',
    "src/pg/module.c": '#include "keys/ring.h"\n/* #include "nowhere/else.h" */\n',
    "src/pg/keys/README.md":
        f"{README}Start with `ring.h`, not `support/errors.h` or `dbcrypt.keys`.\n",
    **{f"src/{folder}/README.md": README
       for folder in ("core", "core/crypto", "core/api", "pg", "pg/support", "pg/other")},
    "docs/architecture.md": "`src/pg/keys/` has `src/pg/keys/ring.c`, `scheme_NAME.cpp`.\n",
}

# What is added or replaced, and what house.py then says.
BREACHES = [
    ("src/pg/support/b.c", '#include "keys/ring.h"\n', "of a folder below its own"),
    ("src/core/crypto/b.h", '#include "../api/value.h"\n', "of a folder below its own"),
    ("src/pg/keys/ring.h", '#include "core/crypto/aead.h"\n', "only api/ is open"),
    ("src/core/api/value.h", '#include "pg/support/errors.h"\n', "only api/ is open"),
    ("src/core/crypto/b.cpp", '#include "postgres.h"\n', "which is not the core's"),
    ("src/core/crypto/b.cpp", "#include <utils/guc.h>\n", "which is not the core's"),
    ("src/core/crypto/b.cpp", "#include <postgresql/server/c.h>\n", "which is not the core's"),
    ("src/pg/keys/b.c", "#include <openssl/evp.h>\n", "the shim includes openssl/evp.h"),
    ("src/pg/keys/b.c", "#include <intel-ipsec-mb.h>\n", "the shim includes intel-ipsec-mb.h"),
    ("src/pg/keys/b.c", "#if PG_VERSION_NUM < 170000\n#endif\n", "tests the PostgreSQL version"),
    ("src/core/crypto/b.h", "#if PG_VERSION_NUM < 170000\n#endif\n", "tests the PostgreSQL version"),
    ("src/pg/other/b.c", "int x;\n", "lies in no folder of a layer"),
    ("src/core/b.cpp", "int x;\n", "lies in no folder of a layer"),
    ("src/pg/keys/b.c", "\n" * 601, "has 601 lines"),
    ("src/pg/keys/b.c", f"int\nf(void)\n{{\n{LONG}\n\n}}\n", "function of 61 lines"),
    ("src/pg/keys/b.h", f"static inline int\nf(int a,\n  int b)\n{{\n{LONG}\n\n}}\n", "of 61 lines"),
    ("src/core/crypto/b.cpp", f"namespace x\n{{\n\nint\nf() noexcept\n{{\n{LONG}\n\n}}\n\n}}\n",
     "function of 61 lines"),
    ("src/core/crypto/b.h", f"class X\n{{\npublic:\n\tint f() const\n\t{{\n{LONG}\n\n\t}}\n}};\n",
     "function of 61 lines"),
    ("src/pg/keys/b.h", f"/* {'x' * 96} */\n", "line of 102 characters"),
    ("src/core/api/README.md", "\n" * 4, "has 4 lines, not 5 to 15"),
    ("src/pg/README.md", "\n" * 16, "has 16 lines, not 5 to 15"),
    ("src/pg/rows/b.h", "int x;\n", "has 0 lines, not 5 to 15"),
    ("src/pg/keys/README.md", f"{README}`no_such.h`\n", "names no_such.h, which does not exist"),
    ("docs/architecture.md", "`src/pg/none/`\n", "names src/pg/none/, which does not exist"),
    ("CONTRIBUTING.md", "`test/t/999.pl`\n", "names test/t/999.pl, which does not exist"),
]


def breaches(files):
    with tempfile.TemporaryDirectory() as top:
        for name, text in files.items():
            path = pathlib.Path(top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return House(top).check()


failed = 0


def expect(what, files, wanted):
    global failed
    found = breaches(files)
    if len(found) == (1 if wanted else 0) and all(wanted in line for line in found):
        return
    failed += 1
    print(f"house_test: {what}: expected {wanted or 'no breach'}, found {found}")


expect("the clean tree", CLEAN, "")
for name, text, wanted in BREACHES:
    expect(name, {**CLEAN, name: text}, wanted)
expect("a circle", {**CLEAN, "src/pg/keys/a.h": '#include "keys/b.h"\n',
                    "src/pg/keys/b.c": '#include "keys/a.h"\n', "src/pg/keys/b.h": ""},
       "circle of includes: a -> b -> a")
sys.exit(1 if failed else 0)
