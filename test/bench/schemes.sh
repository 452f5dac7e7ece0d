# Sourced by the benchmark: the rotation of other applications' schemes beside
# that of native envelopes, on tables of the same rows with a text or bytea value,
# its companion, and a primary key. BENCH_SCHEME_ROWS (a tenth of BENCH_ROWS)
# sizes them.

scheme_rows=${BENCH_SCHEME_ROWS:-$((rows / 10))}
scheme_names="coder lockbox tooljet attr_encrypted gitlab_token containarium"

# Columns of a scheme's table, after its id and value.
scheme_columns() # scheme
{
	case $1 in
		coder) echo "NULL::text AS c_key_id" ;;
		attr_encrypted) echo "NULL::text AS c_iv" ;;
		containarium) echo "NULL::bytea AS nonce, 'user' || i AS username, 'name' AS name" ;;
		*) echo "i AS other" ;;
	esac
}

# Makes a table of values of every scheme under the old key, and of native ones.
schemes_prepare()
{
	local scheme value
	# Characters that are not base64's: no scheme takes this for its own value.
	value="translate(substr(encode(sha256(int8send(i)), 'hex'), 1, 32), '0123456789abcdef', '!#\$%&()*,-.:;<>?')"
	sql "CREATE TABLE native_values AS SELECT i AS id, $value AS c, i AS other FROM generate_series(1::bigint, $scheme_rows) AS i;
		SET dbcrypt.keys = '$old'; UPDATE native_values SET c = dbcrypt_encrypt(c)"
	for scheme in $scheme_names; do
		[ "$scheme" != containarium ] || value="convert_to($value, 'UTF8')"
		sql "CREATE TABLE ${scheme}_values AS SELECT i AS id, $value AS c, $(scheme_columns "$scheme") FROM generate_series(1::bigint, 1) AS i WHERE false;
			SELECT dbcrypt_adopt('${scheme}_values', 'c', '$scheme', $(scheme_options "$scheme"));
			INSERT INTO ${scheme}_values SELECT i AS id, $value AS c, $(scheme_columns "$scheme") FROM generate_series(1::bigint, $scheme_rows) AS i;
			SET dbcrypt.keys = '$old';
			SELECT FROM dbcrypt_encrypt_column('${scheme}_values', 'c')" >/dev/null
	done
}

scheme_options() # scheme
{
	case $1 in
		lockbox | tooljet) echo "'{\"table\": \"bench\", \"attribute\": \"c\"}'" ;;
		*) echo "'{}'" ;;
	esac
}

# Records the ms of each scheme's rotation on a fresh copy of its table.
schemes_round()
{
	local scheme
	# Native in the middle: who comes first pays for what went before.
	for scheme in ${scheme_names/attr/native attr}; do
		sql "CREATE TABLE fresh (LIKE ${scheme}_values);
			INSERT INTO fresh SELECT * FROM ${scheme}_values ORDER BY id;
			ALTER TABLE fresh ADD PRIMARY KEY (id)"
		[ "$scheme" = native ] ||
			sql "SELECT dbcrypt_adopt('fresh', 'c', '$scheme', $(scheme_options "$scheme"))" >/dev/null
		sql "VACUUM ANALYZE fresh"
		sql "CHECKPOINT"
		record "scheme_$scheme" "$(query_ms "SELECT * FROM dbcrypt_rotate('fresh', 'c')")"
		sql "DROP TABLE fresh"
	done
}

schemes_report()
{
	local scheme
	echo "$scheme_rows rows of 32 bytes: rotation against that of native envelopes"
	for scheme in $scheme_names; do
		if [ "$scheme" = coder ]; then
			report "  $scheme" ms "$(median scheme_coder)" "$(median scheme_native)" slower 1.5
		else
			awk -v what="  $scheme" -v this="$(median "scheme_$scheme")" -v other="$(median scheme_native)" 'BEGIN {
				printf "%-46s %10.0f ms  %10.0f ms  %8.2fx\n", what, this, other, this / other }'
		fi
	done
}
