# Sourced by the benchmark: every way to rotate the same table, as time and WAL per
# row and as ratios to an UPDATE without cryptography.

# The client's loop is slow: it gets a tenth of the rows.
client_rows=$((rows / 10))

# Records ms and bytes of WAL per row of a statement on a fresh table.
bench_way() # name, statement on table "fresh"
{
	local before
	fresh_table "$rows"
	before=$(sql "SELECT pg_current_wal_insert_lsn()")
	record "way_$1" "$(query_ms "$2")"
	record "wal_$1" "$(sql "SELECT (pg_current_wal_insert_lsn() - '$before') / $rows")"
	sql "DROP TABLE fresh"
}

# The same for the application's loop, its time scaled to all rows.
bench_client()
{
	local before ms
	fresh_table "$client_rows"
	before=$(sql "SELECT pg_current_wal_insert_lsn()")
	ms=$("$work/client_loop" "$old" "$new")
	record way_client "$(awk -v ms="$ms" 'BEGIN { print ms * 10 }')"
	record wal_client "$(sql "SELECT (pg_current_wal_insert_lsn() - '$before') / $client_rows")"
	[ "$(sql "SELECT count(*) FROM fresh WHERE dbcrypt_decrypt(c) = substr(encode(sha256(int8send(id)), 'hex'), 1, 32)
		AND left(c, 16) <> (SELECT left(c, 16) FROM master LIMIT 1)")" = "$client_rows" ] ||
		fail "the client's loop made wrong values"
	sql "DROP TABLE fresh"
}

client_loop_build()
{
	cc -O2 -I"$("$PG_CONFIG" --includedir)" -o "$work/client_loop" "$root/test/bench/client_loop.c" \
		-L"$("$PG_CONFIG" --libdir)" -lpq -lcrypto
}

ways_round()
{
	bench_way online "CALL dbcrypt_rotate_online('fresh', 'c')"
	bench_way update "UPDATE fresh SET c = c || ''"
	bench_way online2 "CALL dbcrypt_rotate_online('fresh', 'c', workers => 2)"
	bench_way rotate "SELECT * FROM dbcrypt_rotate('fresh', 'c')"
	bench_way rewrite "ALTER TABLE fresh ALTER c TYPE text USING dbcrypt_reencrypt(c)"
	bench_client
}

# One line of the table; with a goal, whether the time is at most so many times the floor.
report_way() # what, name, goal or nothing
{
	local line
	line=$(awk -v what="  $1" -v rows="$rows" -v ms="$(median "way_$2")" -v floor="$(median way_update)" \
		-v wal="$(median "wal_$2")" -v wal_floor="$(median wal_update)" -v goal="${3:-0}" 'BEGIN {
		printf "%-46s %10.0f rows/s %6.0f B WAL/row %6.2fx %6.2fx", what, rows * 1000 / ms, wal,
			ms / floor, wal / wal_floor
		if (goal)
			printf "  <= %gx  %s", goal, ms / floor <= goal ? "ok" : "MISS" }')
	echo "$line"
	[[ $line != *MISS ]] || missed=1
}

ways_report()
{
	echo "$rows rows of 32 bytes, one secondary index: time and WAL against the UPDATE's"
	report_way "UPDATE SET c = c || ''" update
	report_way "dbcrypt_rotate" rotate
	report_way "dbcrypt_rotate_online, VACUUM between batches" online 1.25
	report_way "dbcrypt_rotate_online, workers => 2" online2
	report_way "ALTER TABLE ... USING dbcrypt_reencrypt(c)" rewrite
	report_way "client loop over a socket, $client_rows rows" client
}
