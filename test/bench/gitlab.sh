# Sourced by the benchmark: the adoption and rotation of a GitLab database (AES-256-GCM and
# tokens) beside a loop of Ruby with GitLab's own gem that fetches, decrypts, encrypts and
# updates row by row; and the rotation of AES-256-CBC with a salt, in CPU time, beside the
# key derivations that the scheme demands. BENCH_GITLAB_VALUES (a tenth of BENCH_ROWS) and
# BENCH_GITLAB_CBC_VALUES (a hundredth) say how many values; without Ruby and its packages
# the loop is left out.

gitlab_values=${BENCH_GITLAB_VALUES:-$((rows / 10))}
gitlab_cbc_values=${BENCH_GITLAB_CBC_VALUES:-$((rows / 100))}

gitlab_sql() # database, statements
{
	PGDATABASE=$1 sql "$2"
}

# Makes the database that every round copies, of GitLab's shape: values of four of its
# tables under the old key, and nothing in the others.
gitlab_prepare()
{
	local fourth=$((gitlab_values / 4))
	sql "CREATE DATABASE gitlab"
	gitlab_sql gitlab "CREATE EXTENSION pgcrypto; CREATE EXTENSION dbcrypt"
	gitlab_sql gitlab "SELECT dbcrypt_register_keys()" >/dev/null
	gitlab_sql gitlab "$(<"$root/test/applications/gitlab.sql")"
	gitlab_sql gitlab "DO \$\$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname !~ '^dbcrypt'); END \$\$;
		SET dbcrypt.keys = '$old';
		SELECT dbcrypt_adopt('jira_tracker_data', 'encrypted_password', 'attr_encrypted');
		SELECT dbcrypt_adopt('slack_integrations', 'encrypted_bot_access_token', 'attr_encrypted');
		SELECT dbcrypt_adopt('ci_runners', 'token_encrypted', 'gitlab_token');
		SELECT dbcrypt_adopt('deploy_tokens', 'token_encrypted', 'gitlab_token');
		INSERT INTO namespaces (id, name, path) VALUES (1, 'group', 'group');
		INSERT INTO projects (id, name, namespace_id) VALUES (1, 'project', 1);
		INSERT INTO jira_tracker_data (project_id, encrypted_password) SELECT 1, '¡password ' || i FROM generate_series(1, $fourth) i;
		INSERT INTO slack_integrations (project_id, encrypted_bot_access_token) SELECT 1, convert_to('¡bot access token ' || i, 'UTF8') FROM generate_series(1, $fourth) i;
		INSERT INTO ci_runners (token_encrypted) SELECT '¡runner ' || i FROM generate_series(1, $fourth) i;
		INSERT INTO deploy_tokens (project_id, token_encrypted) SELECT 1, '¡deploy ' || i FROM generate_series(1, $fourth) i;
		SELECT dbcrypt_encrypt_column(format('%I.%I', \"schema\", \"table\"), \"column\") FROM dbcrypt_columns;
		DELETE FROM dbcrypt_columns" >/dev/null
	gitlab_sql gitlab "VACUUM ANALYZE"
	gitlab_cbc_prepare
}

# Runs a command with keys that have a text, which derivations are made of.
gitlab_with_text() # key texts, the first is the primary; then a command
{
	PGOPTIONS="-c dbcrypt.keys=$1 -c client_min_messages=warning" "${@:2}"
}

# Makes the table of AES-256-CBC under the old key, by pgcrypto and with one salt: dbcrypt
# derives a key for every value all the same.
gitlab_cbc_prepare()
{
	local salt key
	salt=$(openssl rand -hex 16)
	key=$(openssl kdf -keylen 32 -kdfopt digest:SHA1 -kdfopt "pass:$old" -kdfopt "hexsalt:$salt" \
		-kdfopt iter:2000 PBKDF2 | tr -d ':\n')
	sql "CREATE TABLE gitlab_cbc AS
		SELECT id, encode(encrypt_iv(convert_to('¡value ' || id, 'UTF8'), '\\x$key', iv, 'aes-cbc/pad:pkcs'), 'base64') || E'\\n' AS encrypted_value,
			encode(iv, 'base64') || E'\\n' AS encrypted_value_iv, '_' || encode('\\x$salt', 'base64') || E'\\n' AS encrypted_value_salt
		FROM (SELECT i AS id, gen_random_bytes(16) AS iv FROM generate_series(1, $gitlab_cbc_values) i OFFSET 0) x"
	gitlab_with_text "text:$new,text:$old" sql "SELECT dbcrypt_register_keys()" >/dev/null
}

gitlab_has_ruby()
{
	command -v ruby >/dev/null && ruby -W0 -rencryptor -rpg -e 1 2>/dev/null
}

# Fails unless every value of the copy is under the new key.
gitlab_check()
{
	[ "$(gitlab_sql fresh "SELECT DISTINCT state, sum(\"values\") OVER () FROM dbcrypt_verify_all()")" = "primary|$((gitlab_values / 4 * 4))" ] ||
		fail "values of the GitLab database are not under the new key"
}

# Records the ms of adoption and rotation on one copy, and of the loop on another.
gitlab_round()
{
	sql "CREATE DATABASE fresh TEMPLATE gitlab"
	sql "CHECKPOINT"
	record gitlab_adopt "$(PGDATABASE=fresh query_ms "SELECT * FROM dbcrypt_adopt_gitlab()")"
	gitlab_sql fresh "SELECT dbcrypt_ignore_triggers('namespaces', 'runners_token_encrypted', ARRAY['trigger_namespaces_traversal_ids_on_update']),
		dbcrypt_ignore_triggers('projects', 'runners_token_encrypted', ARRAY['trigger_projects_parent_id_on_update'])" >/dev/null
	record gitlab_rotate "$(PGDATABASE=fresh query_ms "SELECT * FROM dbcrypt_rotate_all()")"
	gitlab_check
	sql "DROP DATABASE fresh"
	gitlab_cbc_round
	gitlab_has_ruby || return 0
	sql "CREATE DATABASE fresh TEMPLATE gitlab"
	sql "CHECKPOINT"
	record gitlab_ruby "$(PGDATABASE=fresh ruby -W0 "$root/test/bench/gitlab_loop.rb" "$old" "$new")"
	gitlab_sql fresh "SELECT FROM dbcrypt_adopt_gitlab()" >/dev/null
	gitlab_check
	sql "DROP DATABASE fresh"
}

# Records the CPU ms of a rotation of AES-256-CBC, and of two derivations a value alone.
gitlab_cbc_round()
{
	local ns
	sql "CREATE TABLE fresh AS TABLE gitlab_cbc"
	gitlab_with_text "text:$old" sql "SELECT dbcrypt_adopt('fresh', 'encrypted_value', 'attr_encrypted_cbc')" >/dev/null
	sql "CHECKPOINT"
	record gitlab_cbc "$(gitlab_with_text "text:$new,text:$old" cpu_ms "SELECT * FROM dbcrypt_rotate('fresh', 'encrypted_value')")"
	ns=$("$work/openssl_loop" derive $((2 * gitlab_cbc_values)))
	record gitlab_derive "$(awk -v ns="$ns" -v n="$gitlab_cbc_values" 'BEGIN { print ns * 2 * n / 1e6 }')"
	[ "$(gitlab_with_text "text:$new" sql "SELECT state, \"values\" FROM dbcrypt_verify('fresh', 'encrypted_value')")" = "primary, unauthenticated|$gitlab_cbc_values" ] ||
		fail "values of AES-256-CBC are not under the new key"
	sql "DROP TABLE fresh"
}

gitlab_report()
{
	echo "$gitlab_values values of a GitLab database, AES-256-GCM and tokens in four tables"
	report_application gitlab dbcrypt_adopt_gitlab Ruby gitlab_ruby 1 \
		"Ruby or its packages encryptor and pg are not installed"
	echo "$gitlab_cbc_values values of AES-256-CBC with a salt, CPU time"
	report "  dbcrypt_rotate, against the derivations alone" ms "$(median gitlab_cbc)" "$(median gitlab_derive)" slower 1.1
}
