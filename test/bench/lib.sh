# Sourced by the benchmarks: a throwaway server for measuring, and its figures.
. "$(dirname "${BASH_SOURCE[0]}")/../harness/lib.sh"
set -eo pipefail

sql()
{
	psql -XqAt -v ON_ERROR_STOP=1 -c "$1"
}

# Median of a recorded figure; its file may hold several fields a line.
median() # name, field (1)
{
	awk -v f="${2:-1}" '{ print $f }' "$figures/$1" | sort -g | awk '{ v[NR] = $1 } END {
		print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# A workspace with a folder for figures and a copy of the server.
bench_prepare()
{
	workspace_create
	figures=$work/figures
	mkdir "$figures"
	server_copy
}

# Starts the server with the keys of $work/out/keys, undisturbed by autovacuum.
bench_server_start() # further settings, one a word
{
	server_start <<END
shared_preload_libraries = 'dbcrypt'
dbcrypt.key_file = '$work/out/keys'
shared_buffers = 1GB
max_wal_size = 16GB
autovacuum = off
jit = off
max_parallel_workers_per_gather = 0
$(printf '%s\n' "$@")
END
}

missed=0
