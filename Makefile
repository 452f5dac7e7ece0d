# dbcrypt: build, install and installcheck are PGXS's own; the rest is below.
#
#   make / make install / make installcheck    as for any extension
#   make test                                  every layer, then "N passed, N failed, N skipped"
#   make test-unit TESTS='Envelope.*'          one layer, one test by name
#   make help                                  all targets
#
# PG_CONFIG chooses the server version.

EXTENSION = dbcrypt
MODULE_big = dbcrypt
PGFILEDESC = "dbcrypt - encrypt column values and rotate their keys inside the database"
DATA = $(wildcard sql/dbcrypt--*.sql)

CORE_OBJS = $(patsubst %.cpp,%.o,$(sort $(wildcard src/core/*/*.cpp)))
SHIM_OBJS = $(patsubst %.c,%.o,$(sort $(shell find src/pg -name "*.c")))
OBJS = $(SHIM_OBJS) $(CORE_OBJS)
DEPS = $(OBJS:.o=.d)

REGRESS = $(filter-out dbcrypt--%,$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --no-locale --encoding=UTF8
EXTRA_CLEAN = $(DEPS) build results regression.diffs regression.out

# Hidden visibility keeps the core's functions inside; exports.map the rest.
PG_CFLAGS = -std=gnu11 -Isrc -Isrc/pg -fno-plt -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Werror=implicit-function-declaration -MMD -MP
PG_CXXFLAGS = -std=c++20 -O2 -fno-plt -Wall -Wextra -fvisibility=hidden \
	-fvisibility-inlines-hidden -MMD -MP
SHLIB_LINK = -Wl,--version-script=exports.map -lcrypto -lstdc++

# intel-ipsec-mb takes the place of OpenSSL's AES-GCM where its header is found;
# `make IPSEC_MB=no` builds without it.
IPSEC_MB ?= $(shell $(CXX) -include intel-ipsec-mb.h -x c++ -fsyntax-only /dev/null \
	2>/dev/null && echo yes || echo no)
IPSEC_MB := $(IPSEC_MB)
ifeq ($(IPSEC_MB),yes)
PG_CXXFLAGS += -DDBCRYPT_IPSEC_MB
SHLIB_LINK += -lIPSec_MB
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# Debian's client brings pgxs.mk too: only postgres.h proves the server's headers.
PG_HEADER := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h

ifneq ($(and $(wildcard $(PGXS)),$(wildcard $(PG_HEADER))),)
# PGXS would compile C++ bitcode without PG_CXXFLAGS; dbcrypt has no use for it.
override with_llvm = no
include $(PGXS)

# The core sees no PostgreSQL header.
$(CORE_OBJS): override CPPFLAGS := -D_FORTIFY_SOURCE=2

# Objects built for another server, or with another library, are stale.
BUILT_FOR = $(VERSION) $(pkglibdir) IPSEC_MB=$(IPSEC_MB)
build/built-for: FORCE
	@mkdir -p build
	@echo '$(BUILT_FOR)' | cmp -s - $@ || echo '$(BUILT_FOR)' >$@
$(OBJS): build/built-for
$(shlib): exports.map

-include $(DEPS)
else
all install uninstall installcheck: FORCE
	@echo 'dbcrypt: $(PG_CONFIG) leads to no PostgreSQL server headers' >&2
	@echo 'On Debian: apt-get install postgresql-server-dev-all libssl-dev g++' >&2
	@exit 1

clean: FORCE
	rm -rf $(OBJS) dbcrypt.so $(EXTRA_CLEAN)
endif

# The tests' keys are of equal bytes, for the eye.
installcheck: export PGOPTIONS += -c dbcrypt.allow_weak_keys=on

LAYERS = unit fuzz regress isolation tap
BARE ?= bookworm
export PG_CONFIG TESTS ACCEPT REPEAT BARE_FULL

test: FORCE
	test/harness/setup $(LAYERS)
	test/harness/run $(LAYERS)

$(addprefix test-,$(LAYERS)): test-%: FORCE
	test/harness/setup $*
	test/harness/run $*

# Needs nothing of this machine but root, apt-get and its mirror.
test-bare: FORCE
	test/harness/setup bare
	test/harness/bare $(BARE)

# Debian packages, built and tested on a new, minimal Debian; they are put into build/deb.
deb: FORCE
	test/harness/setup bare
	BARE_RUNS=deb test/harness/bare $(firstword $(BARE))

# The Dockerfile, built and tried on an image of Debian's packages.
test-image: FORCE
	test/harness/setup bare image
	test/harness/image $(firstword $(BARE))

soak: FORCE
	test/harness/setup tap source
	DBCRYPT_SOAK=1 test/harness/run tap
	test/harness/assert
	$(MAKE) --no-print-directory test-bare BARE="bookworm trixie" BARE_FULL=1

test-assert test-valgrind: test-%: FORCE
	test/harness/setup regress isolation tap source
	test/harness/assert $(filter-out --assert,--$*)

demo: FORCE
	test/harness/setup build
	demo/demo.sh

# Every part prints its table; then a missed goal fails.
bench: FORCE
	test/harness/setup bench
	status=0; for part in bench statements in_place; do \
		test/bench/$$part.sh || status=1; done; exit $$status

lint: FORCE
	test/harness/setup lint
	test/harness/lint check

format: FORCE
	test/harness/setup lint
	test/harness/lint format

# The archive that PGXN takes, of what is committed.
DIST = dbcrypt-$(shell sed -n 's/^\t"version": "\(.*\)",$$/\1/p' META.json)
dist: FORCE
	git archive --format=zip --prefix=$(DIST)/ --output=$(DIST).zip HEAD

help: FORCE
	@echo 'make, make install, make installcheck   build, install, test a running server'
	@echo 'make test            every layer; ends with "N passed, N failed, N skipped"'
	@echo 'make test-LAYER      one of: $(LAYERS)'
	@echo '                     TESTS="..." chooses: a GoogleTest filter, a fuzz target, a'
	@echo '                     pg_regress or isolation test, a test/t/*.pl file'
	@echo '                     REPEAT=10 runs them ten times'
	@echo '                     ACCEPT=1 makes what test-regress or test-isolation gave expected'
	@echo 'make test-bare       installs, runs and tests it on a new, minimal Debian; as root.'
	@echo '                     BARE="bookworm trixie" chooses releases, BARE_FULL=1 runs'
	@echo '                     make test there too'
	@echo 'make test-assert     on a server with assertions, built from Debian'"'"'s source'
	@echo 'make test-valgrind   pg_regress with every server process under valgrind'
	@echo 'make soak            the TAP tests with long loops, test-assert, bare machines'
	@echo 'make demo            the main job on 100,000 rows, in a throwaway server'
	@echo 'make bench           ratios to pgcrypto, OpenSSL and a plain UPDATE'
	@echo 'make lint, format    clang-format, clang-tidy, cppcheck'
	@echo 'make test-image      builds the Dockerfile on an image of Debian, tries a server in it'
	@echo 'make deb             Debian packages, built and tested on a new, minimal Debian'
	@echo 'make dist            the archive for PGXN, of what is committed'
	@echo 'make clean           remove what was built'
	@echo 'PG_CONFIG=/path/to/pg_config chooses the server version'

.DEFAULT_GOAL := all
.PHONY: FORCE test $(addprefix test-,$(LAYERS)) test-assert test-valgrind test-bare test-image soak demo bench deb \
	lint format dist help
FORCE:
