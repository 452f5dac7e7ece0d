# Sourced by the benchmark: the adoption and rotation of a ToolJet database, beside a
# loop of Node that fetches, decrypts, encrypts and updates row by row. BENCH_TOOLJET_VALUES
# (100000) says how many values; without Node or its package pg, the loop is left out.

tooljet_values=${BENCH_TOOLJET_VALUES:-100000}

tooljet_sql() # statements, in the database named before
{
	PGDATABASE=$1 sql "$2"
}

# Besides where the caller has pg, where Debian has its packages for Node.
export NODE_PATH=${NODE_PATH:+$NODE_PATH:}/usr/share/nodejs:/usr/lib/nodejs

# Makes the database that every round copies: values of five places under the old key.
tooljet_prepare()
{
	local uid="md5(i::text)::uuid" fifth=$((tooljet_values / 5))
	sql "CREATE DATABASE tooljet"
	tooljet_sql tooljet "CREATE EXTENSION pgcrypto; CREATE EXTENSION dbcrypt"
	tooljet_sql tooljet "SELECT dbcrypt_register_keys()" >/dev/null
	tooljet_sql tooljet "$(<"$root/test/applications/tooljet.sql")"
	tooljet_sql tooljet "SET dbcrypt.keys = '$old';
		SELECT dbcrypt_adopt_tooljet();
		INSERT INTO organizations (id, name) SELECT $uid, i FROM generate_series(1, 100) i;
		INSERT INTO users (id, email) SELECT $uid, i FROM generate_series(1, $fifth) i;
		INSERT INTO app_environments (id, organization_id, name) SELECT $uid, $uid, 'production' FROM generate_series(1, 1) i;
		INSERT INTO workspace_branches (id, organization_id, name) SELECT $uid, $uid, 'main' FROM generate_series(1, 1) i;
		INSERT INTO organization_constants (id, constant_name, organization_id) SELECT $uid, i, md5((1 + i % 100)::text)::uuid FROM generate_series(1, $fifth) i;
		INSERT INTO organization_constant_versions (id, organization_constant_id, branch_id) SELECT $uid, $uid, md5('1')::uuid FROM generate_series(1, $fifth) i;
		INSERT INTO credentials (value_ciphertext) SELECT '¡credential ' || i FROM generate_series(1, $fifth) i;
		INSERT INTO org_environment_constant_values (organization_constant_id, environment_id, value) SELECT $uid, md5('1')::uuid, '¡constant ' || i FROM generate_series(1, $fifth) i;
		INSERT INTO organization_constant_version_values (constant_version_id, environment_id, value) SELECT $uid, md5('1')::uuid, '¡version ' || i FROM generate_series(1, $fifth) i;
		INSERT INTO sso_configs (sso, configs) SELECT 'git', json_build_object('clientId', i, 'clientSecret', '¡secret ' || i) FROM generate_series(1, $fifth) i;
		INSERT INTO user_details (user_id, user_metadata) SELECT $uid, '¡metadata ' || i FROM generate_series(1, $fifth) i;
		SELECT dbcrypt_encrypt_column(format('%I.%I', \"schema\", \"table\"), \"column\") FROM dbcrypt_columns;
		DELETE FROM dbcrypt_columns" >/dev/null
	tooljet_sql tooljet "VACUUM ANALYZE"
}

tooljet_has_node()
{
	command -v node >/dev/null && node -e 'require("pg")' 2>/dev/null
}

# Records the ms of adoption and rotation on one copy, and of the loop on another.
tooljet_round()
{
	sql "CREATE DATABASE fresh TEMPLATE tooljet"
	sql "CHECKPOINT"
	record tooljet_adopt "$(PGDATABASE=fresh query_ms "SELECT * FROM dbcrypt_adopt_tooljet()")"
	record tooljet_rotate "$(PGDATABASE=fresh query_ms "SELECT * FROM dbcrypt_rotate_all()")"
	[ "$(tooljet_sql fresh "SELECT DISTINCT state, sum(\"values\") OVER () FROM dbcrypt_verify_all()")" = "primary|$((tooljet_values / 5 * 5))" ]
	sql "DROP DATABASE fresh"
	tooljet_has_node || return 0
	sql "CREATE DATABASE fresh TEMPLATE tooljet"
	sql "CHECKPOINT"
	record tooljet_node "$(PGDATABASE=fresh node "$root/test/bench/tooljet_loop.js" "$old" "$new")"
	sql "DROP DATABASE fresh"
}

tooljet_report()
{
	echo "$tooljet_values values of a ToolJet database, in five tables"
	report_application tooljet dbcrypt_adopt_tooljet Node tooljet_node 2 \
		"Node or its package pg (node-pg) is not installed"
}
