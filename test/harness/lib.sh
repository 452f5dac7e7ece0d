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
}

# Stops every server whose data lies in the folder, then removes the folder.
workspace_remove()
{
	local status=$? pidfile pid pids=()
	trap '' INT TERM HUP
	trap - EXIT
	while IFS= read -r pidfile; do
		pid=$(head -1 "$pidfile" 2>/dev/null)
		# A recycled process id is not ours to stop.
		if [ -n "$pid" ] && grep -qF "$work" "/proc/$pid/cmdline" 2>/dev/null; then
			kill -QUIT "$pid" 2>/dev/null && pids+=("$pid")
		fi
	done < <(find "$work" -name postmaster.pid 2>/dev/null)
	for pid in "${pids[@]}"; do
		for _ in $(seq 100); do
			grep -q . "/proc/$pid/cmdline" 2>/dev/null || break # gone, or a zombie
			sleep 0.1
		done
	done
	rm -rf "$work"
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
