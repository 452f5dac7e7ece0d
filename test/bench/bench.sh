#!/bin/bash
# The benchmark: what dbcrypt costs beside pgcrypto, OpenSSL and a plain UPDATE,
# in one throwaway server and one run. Every figure is the median of five rounds
# in which all cases take turns; those of single values are CPU time. BENCH_ROWS
# (1000000) sizes the tables, BENCH_ROUNDS (5) the rounds. Exits non-zero if a goal is
# missed.
. "$(dirname "$0")/lib.sh"

rows=${BENCH_ROWS:-1000000}
rounds=${BENCH_ROUNDS:-5}
values=$((rows / 2))
pgp_values=$((rows / 1000 > 50 ? rows / 1000 : 50))

# ---- measuring ----

# Milliseconds of one query in a session that has loaded every library already.
query_ms() # query
{
	psql -XqAt -v ON_ERROR_STOP=1 -c "$warm" -c '\timing on' -c "$1" |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -1
}

# Files one figure under a name.
record() # name, figure
{
	echo "$2" >>"$figures/$1"
}

# Milliseconds of CPU of the session's process in one query: others do not count.
cpu_ms() # query
{
	local cpu="SELECT 'cpu', split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)"
	psql -XqAt -v ON_ERROR_STOP=1 -c "$warm" -c "$cpu" -c "$1" -c "$cpu" |
		awk -F'|' '$1 == "cpu" { if (n++) print ($2 - first) / 1e6; else first = $2 }'
}

# Records ns per value of a query, net of the baseline query's time.
bench_sql() # name, values, query, baseline query
{
	local with without
	without=$(cpu_ms "$4")
	with=$(cpu_ms "$3")
	record "$1" "$(awk -v a="$with" -v b="$without" -v n="$2" 'BEGIN { print (a - b) * 1e6 / n }')"
}

# Makes "fresh", a copy of the first rows of the rotation table.
fresh_table() # rows
{
	sql "CREATE TABLE fresh (LIKE master);
		INSERT INTO fresh SELECT * FROM master WHERE id <= $1 ORDER BY id;
		ALTER TABLE fresh ADD PRIMARY KEY (id);
		CREATE INDEX ON fresh (category);"
	sql "VACUUM ANALYZE fresh"
	sql "CHECKPOINT"
}

# Records the ms of a statement on a fresh copy of the rotation table.
bench_rotation() # name, statement on table "fresh"
{
	fresh_table "$rows"
	record "$1" "$(query_ms "$2")"
	sql "DROP TABLE fresh"
}

# Growth in kB of a backend's address space (which, unlike its resident size,
# counts shared buffers from the start) while it rotates this many rows.
rotation_memory() # rows
{
	local peak="substring(pg_read_file('/proc/self/status') FROM 'VmPeak:\\s+(\\d+)')"
	sql "CREATE TABLE fresh AS SELECT * FROM master WHERE id <= $1"
	sql "VACUUM ANALYZE fresh"
	psql -XqAt -v ON_ERROR_STOP=1 -c "$warm" -c "SELECT $peak" \
		-c "DO \$\$ BEGIN PERFORM dbcrypt_rotate('fresh', 'c'); END \$\$" -c "SELECT $peak" |
		awk '/^[0-9]+$/ { if (n++) last = $1; else first = $1 } END { print last - first }'
	sql "DROP TABLE fresh"
}

# ---- reporting ----

# One line of the final table: two medians and the ratio that the goal is about.
report() # what, unit, this, other, "faster" (other/this, at least) or "slower" (this/other, at most), goal
{
	local line
	line=$(awk -v what="$1" -v unit="$2" -v this="$3" -v other="$4" -v way="$5" -v goal="$6" 'BEGIN {
		ratio = this <= 0 || other <= 0 ? 0 : way == "faster" ? other / this : this / other
		verdict = (way == "faster" ? ratio >= goal : ratio <= goal) ? "ok" : "MISS"
		if (this <= 0 || other <= 0)
			verdict = "unmeasurable"
		printf "%-46s %10.0f %-3s %10.0f %-3s %8.2fx  %s %gx  %s", what, this, unit, other, unit,
			ratio, way == "faster" ? ">=" : "<=", goal, verdict }')
	echo "$line"
	[[ $line != *MISS ]] || missed=1
}

# Adoption and rotation of an application's database, and their sum against a loop of the
# application's language, if its time was recorded.
report_application() # figures' prefix, adopting function, loop's name, loop's figure, goal, why there may be none
{
	local adopt rotate
	adopt=$(median "$1_adopt")
	rotate=$(median "$1_rotate")
	awk -v what="  $2" -v adopt="$adopt" -v rotate="$rotate" 'BEGIN {
		printf "%-46s %10.2f s\n%-46s %10.2f s\n", what, adopt / 1000, "  dbcrypt_rotate_all", rotate / 1000 }'
	if [ -f "$figures/$4" ]; then
		report "  both, against a loop of $3" ms "$(awk -v a="$adopt" -v b="$rotate" 'BEGIN { print a + b }')" "$(median "$4")" faster "$5"
	else
		echo "  a loop of $3: left out, $6"
	fi
}

. "$root/test/bench/schemes.sh"
. "$root/test/bench/ways.sh"
. "$root/test/bench/census.sh"
. "$root/test/bench/tooljet.sh"
. "$root/test/bench/gitlab.sh"

# ---- the run ----

bench_prepare
cc -O2 -o "$work/openssl_loop" "$root/test/bench/openssl_loop.c" -lcrypto
client_loop_build
old=$(openssl rand -hex 32)
new=$(openssl rand -hex 32)
key_file_write "$work/out/keys" <<<"$old"
bench_server_start

echo "Loading $rows rows"
sql "CREATE EXTENSION pgcrypto; CREATE EXTENSION dbcrypt"
sql "SELECT dbcrypt_register_keys()" >/dev/null
sql "CREATE TABLE master AS SELECT i AS id, (i * 7919 % 1000)::int AS category,
	dbcrypt_encrypt(substr(encode(sha256(int8send(i)), 'hex'), 1, 32)) AS c
	FROM generate_series(1::bigint, $rows) AS i"
printf '%s\n' "$new" "$old" | key_file_write "$work/out/keys"
sql "SELECT dbcrypt_register_keys()" >/dev/null

pgcrypto_key="'\\x$new'::bytea"
cipher="'aes-cbc/pad:pkcs'"
sql "CREATE TABLE plain AS SELECT sha512(int8send(i)) AS p FROM generate_series(1::bigint, $values) AS i"
sql "CREATE TABLE sealed AS SELECT dbcrypt_encrypt(p) AS e FROM plain"
sql "CREATE TABLE sealed_iv AS SELECT iv, encrypt_iv(p, $pgcrypto_key, iv, $cipher) AS e
	FROM (SELECT p, gen_random_bytes(16) AS iv FROM plain OFFSET 0) AS x"
sql "CREATE TABLE plain_pgp AS SELECT p FROM plain LIMIT $pgp_values"
sql "CREATE TABLE sealed_pgp AS SELECT pgp_sym_encrypt_bytea(p, 'password') AS e FROM plain_pgp"
schemes_prepare
census_prepare
tooljet_prepare
gitlab_prepare
sql "VACUUM ANALYZE"
sql "CHECKPOINT"
warm="SELECT sum(length(dbcrypt_decrypt(dbcrypt_encrypt('x'::bytea)))),
	sum(length(encrypt_iv('x', $pgcrypto_key, gen_random_bytes(16), $cipher)))"

for round in $(seq "$rounds"); do
	echo "Round $round of $rounds: values"
	bench_sql encrypt "$values" "SELECT sum(length(dbcrypt_encrypt(p))) FROM plain" \
		"SELECT sum(length(p)) FROM plain"
	record encrypt_openssl "$("$work/openssl_loop" encrypt "$values")"
	bench_sql encrypt_iv "$values" \
		"SELECT sum(length(encrypt_iv(p, $pgcrypto_key, gen_random_bytes(16), $cipher))) FROM plain" \
		"SELECT sum(length(p)) FROM plain"
	bench_sql pgp_encrypt "$pgp_values" \
		"SELECT sum(length(pgp_sym_encrypt_bytea(p, 'password'))) FROM plain_pgp" \
		"SELECT sum(length(p)) FROM plain_pgp"
	bench_sql decrypt "$values" "SELECT sum(length(dbcrypt_decrypt(e))) FROM sealed" \
		"SELECT sum(length(e)) FROM sealed"
	record decrypt_openssl "$("$work/openssl_loop" decrypt "$values")"
	bench_sql decrypt_iv "$values" \
		"SELECT sum(length(decrypt_iv(e, $pgcrypto_key, iv, $cipher))) FROM sealed_iv" \
		"SELECT sum(length(e) + length(iv)) FROM sealed_iv"
	bench_sql pgp_decrypt "$pgp_values" \
		"SELECT sum(length(pgp_sym_decrypt_bytea(e, 'password'))) FROM sealed_pgp" \
		"SELECT sum(length(e)) FROM sealed_pgp"
	echo "Round $round of $rounds: rotation"
	bench_rotation rotate "SELECT * FROM dbcrypt_rotate('fresh', 'c')"
	bench_rotation update "UPDATE fresh SET c = c || ''"
	schemes_round
	ways_round
	census_round
	tooljet_round
	gitlab_round
done
small_memory=$(rotation_memory $((rows / 10)))
large_memory=$(rotation_memory "$rows")
version=$(sql 'SHOW server_version')
server_stop

echo
aead=OpenSSL
[[ $(ldd "$pkglibdir/dbcrypt.so") != *libIPSec_MB* ]] || aead=intel-ipsec-mb
echo "PostgreSQL $version, $(openssl version | cut -d" " -f1,2), AES-GCM by $aead, $rows rows, medians of $rounds"
printf '%-46s %14s %14s %9s  %s\n' "one value of 64 bytes, net of the scan" dbcrypt other ratio goal
report "encrypt, against encrypt_iv + random IV" ns "$(median encrypt)" "$(median encrypt_iv)" faster 3
report "decrypt, against decrypt_iv" ns "$(median decrypt)" "$(median decrypt_iv)" faster 3
report "encrypt, against pgp_sym_encrypt" ns "$(median encrypt)" "$(median pgp_encrypt)" faster 500
report "decrypt, against pgp_sym_decrypt" ns "$(median decrypt)" "$(median pgp_decrypt)" faster 500
report "encrypt, against a C loop over OpenSSL" ns "$(median encrypt)" "$(median encrypt_openssl)" slower 1.3
report "decrypt, against a C loop over OpenSSL" ns "$(median decrypt)" "$(median decrypt_openssl)" slower 1.3
echo "$rows rows of 32 bytes, one secondary index"
report "dbcrypt_rotate, against UPDATE SET c = c || ''" ms "$(median rotate)" "$(median update)" slower 1.12
ways_report
schemes_report
census_report
tooljet_report
gitlab_report
awk -v small="$small_memory" -v large="$large_memory" -v rows="$rows" 'BEGIN {
	printf "memory of a rotation: %d kB for %d rows, %d kB for %d rows; goal: at most 1 MB more  %s\n",
		small, rows / 10, large, rows, large - small <= 1024 ? "ok" : "MISS" }'
[ $((large_memory - small_memory)) -le 1024 ] || missed=1
exit "$missed"
