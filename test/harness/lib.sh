# Sourced by the test runner, the demo and the benchmark: a temporary folder
# with a private copy of the server and dbcrypt in it, owned where needed by an
# ordinary user, gone at the end whatever happens.
#
# Sets: root (the source tree), work (the folder), bindir, sharedir, pkglibdir
# (inside the copy), user (who runs servers), jobs.

set -u
umask 022
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${PG_CONFIG:=pg_config}"
jobs=$(nproc)

# This make's flags are not for the makes below; its PG_CONFIG and CXX are.
unset MAKEFLAGS MFLAGS MAKELEVEL
for name in "${!PG@}"; do
	[ "$name" = PG_CONFIG ] || unset "$name"
done
export LC_ALL=C.UTF-8 LANG=C.UTF-8 # the TAP modules take LC_ALL away

fail()
{
	echo "dbcrypt: $*" >&2
	exit 1
}

# Runs a command as the ordinary user who owns the servers.
as_user()
{
	if [ "$EUID" -eq 0 ]; then
		runuser -u "$user" -- env HOME="$work/tmp" TMPDIR="$work/tmp" "$@"
	else
		env HOME="$work/tmp" TMPDIR="$work/tmp" "$@"
	fi
}

# Makes the temporary folder; from here on everything is cleaned up at exit.
workspace_create()
{
	work=$(mktemp -d "${TMPDIR:-/tmp}/dbcrypt.XXXXXX")
	trap workspace_remove EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	chmod 755 "$work"
	cd "$work" # the ordinary user may not see where we came from
	user=$(id -un)
	if [ "$EUID" -eq 0 ]; then
		user=nobody
		id postgres >/dev/null 2>&1 && user=postgres
	fi
	mkdir "$work/tmp" "$work/out"
	[ "$EUID" -ne 0 ] || chown "$user" "$work/tmp" "$work/out"
	workspace_guard
}

# Cleans up if this process is killed and cannot.
workspace_guard()
{
	local owner=$$
	set -m # a process group of its own, which no Ctrl-C reaches
	(
		trap - EXIT
		trap '' INT TERM HUP
		cd /
		while kill -0 "$owner" && [ -d "$work" ]; do
			sleep 1
		done
		[ ! -d "$work" ] || workspace_empty
	) </dev/null >/dev/null 2>&1 &
	guard=$!
	set +m
	disown
}

# Runs a command in a process group of its own and waits for it: a signal finds this
# shell waiting and ends it, and the group, at once.
workspace_run() # command
{
	set -m
	"$@" </dev/null &
	set +m
	wait $!
}

# The processes that have their current directory in the folder: all servers whose
# data lies there, and all that tests have started. Not this shell.
workspace_processes()
{
	local self=$BASHPID
	local -a dirs=(/proc/[0-9]*/cwd) # before there are processes of this pipeline
	find "${dirs[@]}" -maxdepth 0 \( -lname "$work" -o -lname "$work/*" \) 2>/dev/null |
		cut -d/ -f3 | grep -vxE "$$|$self"
}

# Ends what runs in the folder, servers so that they leave no shared memory behind,
# and removes it.
workspace_empty()
{
	local pid pidfile keep servers=
	while IFS= read -r pidfile; do
		servers+=" $(head -1 "$pidfile" 2>/dev/null)"
	done < <(find "$work" -name postmaster.pid 2>/dev/null)
	for keep in "$servers" ''; do
		# Twice: what was being started when the first look was taken.
		for _ in 1 2; do
			for pid in $(workspace_processes); do
				if [[ " $keep " == *" $pid "* ]]; then
					kill -QUIT "$pid" 2>/dev/null
				elif ! workspace_is_backend "$pid" "$keep"; then
					kill -KILL "$pid" 2>/dev/null
				fi
			done
		done
		for _ in $(seq 100); do
			[ -n "$(workspace_processes)" ] || break
			sleep 0.1
		done
	done
	rm -rf "$work"
}

# Whether a process is the child of one of these servers, which ends with it.
workspace_is_backend() # process, servers
{
	local parent
	parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
	[ -n "$parent" ] && [[ " $2 " == *" $parent "* ]]
}

workspace_remove()
{
	local status=$? job
	trap '' INT TERM HUP
	trap - EXIT
	for job in $(jobs -p); do
		kill -KILL -- "-$job" 2>/dev/null # what workspace_run has started
	done
	kill -KILL -- "-$guard" 2>/dev/null
	workspace_empty
	exit "$status"
}

# Builds dbcrypt and installs it into a private copy of the server.
server_copy()
{
	local dir
	[ -x "$("$PG_CONFIG" --bindir)/postgres" ] || fail "no server in $("$PG_CONFIG" --bindir)"
	bindir=$work/server$("$PG_CONFIG" --bindir)
	sharedir=$work/server$("$PG_CONFIG" --sharedir)
	pkglibdir=$work/server$("$PG_CONFIG" --pkglibdir)
	for dir in --bindir --sharedir --pkglibdir; do
		dir=$("$PG_CONFIG" $dir)
		mkdir -p "$work/server${dir%/*}"
		[ -d "$work/server$dir" ] || cp -a "$dir" "$work/server${dir%/*}/"
	done
	flock "$root" make -C "$root" --no-print-directory -s -j"$jobs" all install \
		PG_CONFIG="$PG_CONFIG" DESTDIR="$work/server" ${CXX:+CXX="$CXX"} || return 1
	chmod -R a+rX "$work/server"
}

# Starts a throwaway server in the folder from settings on standard input;
# psql finds it through PGHOST, as the superuser "postgres".
server_start()
{
	as_user "$bindir/initdb" -D "$work/out/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
		>"$work/initdb.log" 2>&1 || { cat "$work/initdb.log" >&2; return 1; }
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work/tmp'"
		cat
	} | as_user tee -a "$work/out/data/postgresql.conf" >/dev/null
	as_user "$bindir/pg_ctl" -D "$work/out/data" -l "$work/out/server.log" -w start >/dev/null ||
		{ tail -20 "$work/out/server.log" >&2; return 1; }
	export PGHOST=$work/tmp PGUSER=postgres PGDATABASE=postgres
	PATH=$bindir:$PATH
}

server_stop()
{
	as_user "$bindir/pg_ctl" -D "$work/out/data" -m fast -w stop >/dev/null
}

# Writes a key file (from standard input) that only the servers' user can read.
key_file_write() # path
{
	as_user sh -c 'umask 077 && cat >"$1.new" && mv "$1.new" "$1"' sh "$1"
}
