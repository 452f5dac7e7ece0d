#!/bin/bash
# The benchmark of rotation in place: time, WAL and growth against the same UPDATE
# without cryptography, one and two processes, and what a concurrent application
# feels. BENCH_ROWS (1000000) sizes the tables, one of them is four times as large;
# BENCH_ROUNDS (3). Exits non-zero if a goal is missed.
. "$(dirname "$0")/lib.sh"

rows=${BENCH_ROWS:-1000000}
rounds=${BENCH_ROUNDS:-3}
one=$(openssl rand -hex 32)
two=$(openssl rand -hex 32)

# A table of n rows of 32 bytes under the first key, with i secondary indexes.
make_table() # rows, indexes
{
	local column made=0
	sql "DROP TABLE IF EXISTS fresh"
	sql "SET dbcrypt.keys = '$one,$two';
		CREATE TABLE fresh AS SELECT i AS id, (i * 7919 % 1000)::int AS a, (i % 777)::int AS b,
			(i % 55)::int AS d, dbcrypt_encrypt(substr(encode(sha256(int8send(i)), 'hex'), 1, 32)) AS c
			FROM generate_series(1::bigint, $1) AS i;
		ALTER TABLE fresh ADD PRIMARY KEY (id)"
	for column in a b d; do
		[ $((made++)) -ge "$2" ] || sql "CREATE INDEX ON fresh ($column)"
	done
	sql "VACUUM ANALYZE fresh"
}

# Records ms, WAL bytes and growth of a statement after these settings.
measure() # name, settings, statement
{
	sql "CHECKPOINT"
	psql -XqAt -v ON_ERROR_STOP=1 >"$work/measured" <<END
$2;
SELECT dbcrypt_is_encrypted(c) FROM fresh LIMIT 1;
SELECT pg_total_relation_size('fresh') AS size, pg_current_wal_insert_lsn() AS lsn,
	clock_timestamp() AS t \\gset
$3;
SELECT 'figures', extract(epoch FROM clock_timestamp() - :'t') * 1000,
	pg_current_wal_insert_lsn() - :'lsn', pg_total_relation_size('fresh') - :size;
END
	grep '^figures' "$work/measured" | tr '|' ' ' >>"$figures/$1"
}

# One line of the table, and whether its ratios meet the goals (0 for none).
report() # what, name, rows, goal of time, goal of WAL
{
	local line
	line=$(awk -v what="$1" -v n="$3" -v goal="$4" -v wal_goal="$5" \
		-v ms="$(median "$2" 2)" -v wal="$(median "$2" 3)" -v growth="$(median "$2" 4)" \
		-v base_ms="$(median "update_${2#*_}" 2)" -v base_wal="$(median "update_${2#*_}" 3)" 'BEGIN {
		ok = (goal == 0 || ms / base_ms <= goal) && (wal_goal == 0 || wal / base_wal <= wal_goal) &&
			(what ~ /^UPDATE/ || growth == 0)
		printf "%-34s %8.0f ms %6.3f  %7.0f MB %6.3f  %7.1f MB  %9.0f  %s", what, ms, ms / base_ms,
			wal / 1048576, wal / base_wal, growth / 1048576, n * 1000 / ms, ok ? "ok" : "MISS" }')
	echo "$line"
	[[ $line == *ok ]] || missed=1
}

# p95 latency in ms of a client that reads and updates, for some seconds.
p95() # seconds
{
	rm -f "$work"/tmp/latency*
	pgbench -n -c 2 -T "$1" -f "$work/application.sql" -l --log-prefix="$work/tmp/latency" >/dev/null 2>&1
	cat "$work"/tmp/latency* | awk '{ print $3 / 1000 }' | sort -g |
		awk '{ v[NR] = $1 } END { printf "%.2f ms p95, %.2f ms p50, %d transactions\n", v[int(NR * 0.95)], v[int(NR / 2)], NR }'
}

bench_prepare
printf '%s\n' "$one" "$two" | key_file_write "$work/out/keys"
bench_server_start "client_min_messages = warning"
sql "CREATE EXTENSION dbcrypt; SELECT dbcrypt_register_keys()" >/dev/null

for round in $(seq "$rounds"); do
	for case in "0 $rows" "1 $rows" "3 $rows" "1 $((4 * rows))"; do
		read -r indexes n <<<"$case"
		echo "Round $round of $rounds: $n rows, $indexes indexes"
		make_table "$n" "$indexes"
		measure "one_${indexes}_$n" "SET dbcrypt.keys = '$two,$one'" "CALL dbcrypt_rotate_in_place('fresh', 'c')"
		measure "two_${indexes}_$n" "SET dbcrypt.keys = '$one,$two'" \
			"CALL dbcrypt_rotate_in_place('fresh', 'c', workers => 2)"
		measure "update_${indexes}_$n" "SET jit = off" "UPDATE fresh SET c = c || ''"
	done
done

make_table "$rows" 1
cat >"$work/application.sql" <<END
\\set id random(1, $rows)
SELECT dbcrypt_decrypt(c) FROM fresh WHERE id = :id;
UPDATE fresh SET a = a + 1 WHERE id = :id;
END
quiet=$(p95 8)
(while true; do
	psql -XqAt -c "SET dbcrypt.keys = '$two,$one'" -c "CALL dbcrypt_rotate_in_place('fresh', 'c', busy_share => 0.5)" >/dev/null 2>&1
	psql -XqAt -c "SET dbcrypt.keys = '$one,$two'" -c "CALL dbcrypt_rotate_in_place('fresh', 'c', busy_share => 0.5)" >/dev/null 2>&1
done) &
rotations=$!
busy=$(p95 8)
kill "$rotations" 2>/dev/null || true
wait "$rotations" 2>/dev/null || true
version=$(sql 'SHOW server_version')
server_stop

echo
echo "PostgreSQL $version, rows of 32 bytes, medians of $rounds; ratios to the UPDATE"
printf '%-34s %11s %6s  %10s %6s  %10s  %9s\n' "" time ratio WAL ratio growth "rows/s"
for case in "0 $rows 0 0 0" "1 $rows 0.11 0.27 0.07" "3 $rows 0 0 0" "1 $((4 * rows)) 0 0 0"; do
	read -r indexes n goal wal_goal two_goal <<<"$case"
	echo "$n rows, primary key + $indexes indexes"
	report "UPDATE SET c = c || ''" "update_${indexes}_$n" "$n" 0 0
	report "dbcrypt_rotate_in_place" "one_${indexes}_$n" "$n" "$goal" "$wal_goal"
	report "dbcrypt_rotate_in_place, 2 workers" "two_${indexes}_$n" "$n" "$two_goal" 0
done
echo "application, 2 clients, without rotation:  $quiet"
echo "application, 2 clients, with busy_share 0.5: $busy"
exit "$missed"
