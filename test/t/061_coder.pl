# A database shaped as Coder's, its values written and read by another program:
# every column found, 10,000 rows rotated, the old key revoked in its own catalog.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Node is not installed' unless client_available();

my $node = new_node('coder', start => 0);
my ($old, $new, $third) = map { secret_key("coder $_") } 1 .. 3;
my ($old_digest, $new_digest, $third_digest) = map { substr(Digest::SHA::sha256_hex('aes256gcm' . pack('H*', $_)), 0, 7) } $old, $new, $third;
write_key_file(key_file($node), $old);
$node->start;

# Its own dbcrypt_keys is in public, so the extension is elsewhere.
$node->safe_psql('postgres', q{
	CREATE SCHEMA dbcrypt;
	CREATE EXTENSION dbcrypt SCHEMA dbcrypt;
	CREATE ROLE coder;
	CREATE TABLE dbcrypt_keys (number int PRIMARY KEY, active_key_digest text UNIQUE, revoked_key_digest text UNIQUE,
		created_at timestamptz DEFAULT CURRENT_TIMESTAMP, revoked_at timestamptz, test text NOT NULL);
	CREATE TABLE users (id int PRIMARY KEY, deleted boolean NOT NULL DEFAULT false);
	CREATE TABLE user_links (user_id int PRIMARY KEY REFERENCES users, updated_at timestamptz,
		oauth_access_token text NOT NULL DEFAULT '', oauth_access_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
		oauth_refresh_token text NOT NULL DEFAULT '', oauth_refresh_token_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	CREATE TABLE external_auth_links (user_id int REFERENCES users, provider_id text,
		oauth_access_token text NOT NULL DEFAULT '', oauth_access_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
		oauth_refresh_token text NOT NULL DEFAULT '', oauth_refresh_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
		PRIMARY KEY (provider_id, user_id));
	CREATE TABLE user_secrets (id int PRIMARY KEY, value text NOT NULL, value_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	-- Two that its own tool does not know.
	CREATE TABLE crypto_keys (id int PRIMARY KEY, secret text, secret_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	CREATE TABLE "ai Providers" (id int PRIMARY KEY, api_key text, api_key_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	CREATE INDEX ON user_links (oauth_access_token_key_id);
	CREATE FUNCTION refuse_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF (SELECT deleted FROM users WHERE id = NEW.user_id) THEN
				RAISE EXCEPTION 'Cannot create user_link for deleted user';
			END IF;
			RETURN NEW;
		END $$;
	INSERT INTO users SELECT i, i % 10 = 0 FROM generate_series(1, 4000) i;
	CREATE TABLE plain (place text, id int, plaintext bytea, PRIMARY KEY (place, id));
	INSERT INTO plain
		SELECT p, i, CASE WHEN i % 50 = 0 THEN '' WHEN i % 777 = 0 THEN convert_to(repeat('lönger ', 3000), 'UTF8')
				ELSE convert_to(p || ' tøken ' || i, 'UTF8') END
			FROM (VALUES ('access', 4000), ('refresh', 4000), ('external access', 3000), ('external refresh', 3000),
				('secret', 1500), ('crypto', 1000), ('ai', 500)) AS places (p, n), generate_series(1, n) i;
	ALTER TABLE dbcrypt_keys OWNER TO coder;
});
$node->safe_psql('postgres', 'SELECT dbcrypt.dbcrypt_register_keys()');

# Coder writes its values and its key's row.
my $rows = $node->safe_psql('postgres',
	"SELECT json_build_object('place', place, 'id', id, 'plaintext', encode(plaintext, 'hex')) FROM plain");
my $sealed = client('seal', 'coder', $old, $rows);
$node->safe_psql('postgres', "CREATE TABLE sealed (j jsonb);\nCOPY sealed FROM STDIN;\n$sealed\\.\n");
my ($test) = client('seal', 'coder', $old, qq({"plaintext": "636f646572"}\n)) =~ /"value":"([^"]*)"/;
$node->safe_psql('postgres', qq{
	INSERT INTO dbcrypt_keys (number, active_key_digest, test) VALUES (1, '$old_digest', '$test');
	CREATE VIEW written AS SELECT j->>'place' AS place, (j->>'id')::int AS id, j->>'value' AS v, j->>'companion' AS k FROM sealed;
	INSERT INTO user_links SELECT a.id, NULL, a.v, a.k, r.v, r.k FROM written a JOIN written r USING (id) WHERE a.place = 'access' AND r.place = 'refresh';
	INSERT INTO external_auth_links SELECT a.id, 'github', a.v, a.k, r.v, r.k FROM written a JOIN written r USING (id) WHERE a.place = 'external access' AND r.place = 'external refresh';
	INSERT INTO user_secrets SELECT id, v, k FROM written WHERE place = 'secret';
	INSERT INTO crypto_keys SELECT id, v, k FROM written WHERE place = 'crypto';
	INSERT INTO "ai Providers" SELECT id, v, k FROM written WHERE place = 'ai';
	-- Plaintext from before encryption was switched on, and no value.
	UPDATE crypto_keys SET secret = 'crypto tøken 1', secret_key_id = NULL WHERE id = 1;
	UPDATE crypto_keys SET secret = 'crypto tøken 2', secret_key_id = NULL WHERE id = 2;
	INSERT INTO crypto_keys VALUES (5000, NULL, NULL);
	CREATE TRIGGER refuse_deleted BEFORE INSERT OR UPDATE ON user_links FOR EACH ROW EXECUTE FUNCTION refuse_deleted();
});
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM user_links) + (SELECT count(*) FROM external_auth_links)
	+ (SELECT count(*) FROM user_secrets) + (SELECT count(*) FROM crypto_keys) + (SELECT count(*) FROM "ai Providers")'),
	10001, 'ten thousand rows and one without a value');
like(psql_error($node, 'UPDATE user_links SET updated_at = now() WHERE user_id = 10'), qr/deleted user/,
	'the trigger refuses updates of deleted users');

# What Coder reads, with one key only.
sub read_all_ok
{
	my ($key, $how) = @_;
	my $stored = $node->safe_psql('postgres', q{
		SELECT json_build_object('place', place, 'id', id, 'value', v, 'companion', k) FROM (
			SELECT 'access' AS place, user_id AS id, oauth_access_token AS v, oauth_access_token_key_id AS k FROM user_links
			UNION ALL SELECT 'refresh', user_id, oauth_refresh_token, oauth_refresh_token_key_id FROM user_links
			UNION ALL SELECT 'external access', user_id, oauth_access_token, oauth_access_token_key_id FROM external_auth_links
			UNION ALL SELECT 'external refresh', user_id, oauth_refresh_token, oauth_refresh_token_key_id FROM external_auth_links
			UNION ALL SELECT 'secret', id, value, value_key_id FROM user_secrets
			UNION ALL SELECT 'crypto', id, secret, secret_key_id FROM crypto_keys WHERE secret IS NOT NULL
			UNION ALL SELECT 'ai', id, api_key, api_key_key_id FROM "ai Providers") AS all_values
	});
	my $opened = client('open', 'coder', $key, $stored);
	is($node->safe_psql('postgres', "CREATE TEMP TABLE opened (j jsonb);\nCOPY opened FROM STDIN;\n$opened\\.\n"
		. q{SELECT count(*), count(*) FILTER (WHERE decode(j->>'plaintext', 'hex') = plaintext), (SELECT count(*) FROM plain)
			FROM opened JOIN plain ON place = j->>'place' AND id = (j->>'id')::int}),
		'17000|17000|17000', "Coder reads every value $how");
	return;
}

### adoption finds what has a foreign key

is($node->safe_psql('postgres', 'SELECT "table", "column" FROM dbcrypt.dbcrypt_adopt_coder() ORDER BY 1, 2'),
	join("\n", 'user_links|oauth_access_token', 'user_links|oauth_refresh_token',
		'external_auth_links|oauth_access_token', 'external_auth_links|oauth_refresh_token',
		'user_secrets|value', 'crypto_keys|secret', '"ai Providers"|api_key'), 'every column is adopted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt.dbcrypt_adopt_coder()'), 0, 'and none again');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_keys'), 1, 'which changes nothing');

### rotation

write_key_file(key_file($node), $new, $old);
$node->safe_psql('postgres', 'SELECT dbcrypt.dbcrypt_register_keys()');
is($node->safe_psql('postgres', 'SELECT sum(rotated) FROM dbcrypt.dbcrypt_rotate_all(dry_run => true)'), 17000, 'a dry run');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_keys'), 1, 'gives no key a row');

# One column alone: the others still need the old key.
my ($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM dbcrypt.dbcrypt_rotate('user_secrets', 'value')");
is($out, '1500|1500|0|0', 'one column');
like($err, qr/NOTICE:  key $old_digest is still in use by the application, and not revoked\nDETAIL:.*is still referenced from table/,
	'which does not revoke the old key');
is($node->safe_psql('postgres', 'SELECT number, active_key_digest, revoked_at IS NULL FROM dbcrypt_keys ORDER BY 1'),
	"1|$old_digest|t\n2|$new_digest|t", 'but adds the new one');

# A value that nobody can open: everything stays as it was.
my $kept = $node->safe_psql('postgres', 'SELECT api_key FROM "ai Providers" WHERE id = 7');
$node->safe_psql('postgres', q{UPDATE "ai Providers" SET api_key = 'damaged' WHERE id = 7});
my $before = $node->safe_psql('postgres', 'SELECT md5(string_agg(u::text, \'\' ORDER BY user_id)) FROM user_links u');
like(psql_error($node, 'SELECT * FROM dbcrypt.dbcrypt_rotate_all()'),
	qr/invalid encrypted value\nDETAIL:  Table "public.ai Providers", column "api_key", row \(\d+,\d+\)/, 'a damaged value is named');
is($node->safe_psql('postgres', 'SELECT md5(string_agg(u::text, \'\' ORDER BY user_id)) FROM user_links u'), $before,
	'and nothing is changed');
$node->safe_psql('postgres', qq{UPDATE "ai Providers" SET api_key = '$kept' WHERE id = 7});

($rc, $out, $err) = $node->psql('postgres', 'SELECT sum(scanned), sum(rotated), sum(current), sum(nulls) FROM dbcrypt.dbcrypt_rotate_all()');
is($out, '17001|15500|1500|1', 'all columns');
is($err, '', 'without a notice');
is($node->safe_psql('postgres', 'SELECT number, active_key_digest, revoked_key_digest, revoked_at IS NULL FROM dbcrypt_keys ORDER BY 1'),
	"1||$old_digest|f\n2|$new_digest||t", 'the old digest is revoked as Coder does it');
read_all_ok($new, 'with the new key alone');
my $new_test = $node->safe_psql('postgres', 'SELECT test FROM dbcrypt_keys WHERE number = 2');
like(client('open', 'coder', $new, qq({"value": "$new_test", "companion": "$new_digest"}\n)), qr/"plaintext":"636f646572"/,
	"and its catalog's test text");
is($node->safe_psql('postgres', 'SELECT bool_and(canary_ok), count(*) FROM dbcrypt.dbcrypt_key_status'), 't|2', 'canaries are right');
is($node->safe_psql('postgres', 'SELECT DISTINCT state FROM dbcrypt.dbcrypt_verify_all()'), 'primary', 'every value opens');
like(psql_error($node, "INSERT INTO user_secrets VALUES (9999, 'x', '$old_digest')"), qr/violates foreign key constraint/,
	'nothing can be written under the old key');
is($node->safe_psql('postgres', 'SELECT dbcrypt.dbcrypt_revoke_key(\'' . key_id($old) . '\')'), '', 'it is revoked in dbcrypt too');
is($node->safe_psql('postgres', 'SELECT sum(rotated) FROM dbcrypt.dbcrypt_rotate_all()'), 0, 'a second run rotates nothing');

### again, online, by the owner of the tables, who is no superuser

$node->safe_psql('postgres', q{
	DO $$ DECLARE t regclass; BEGIN
		FOR t IN SELECT format('%I.%I', "schema", "table") FROM dbcrypt.dbcrypt_columns GROUP BY 1 LOOP EXECUTE format('ALTER TABLE %s OWNER TO coder', t); END LOOP;
	END $$;
	GRANT USAGE ON SCHEMA dbcrypt TO coder;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbcrypt TO coder;
	GRANT INSERT, UPDATE ON dbcrypt_keys TO coder;
});
write_key_file(key_file($node), $third, $new);
$node->safe_psql('postgres', 'SELECT dbcrypt.dbcrypt_register_keys()');
like(psql_error($node, q{CALL dbcrypt.dbcrypt_rotate_in_place('user_links', 'oauth_refresh_token')}),
	qr/Foreign key "user_links_oauth_refresh_token_key_id_fkey" reads the column/, 'not in place, where no abort would undo it');
is($node->safe_psql('postgres', q{SET ROLE coder; CALL dbcrypt.dbcrypt_rotate_online('user_links', 'oauth_access_token', batch_blocks => 4, workers => 2)}),
	'4000|4000|0|0|0', 'online, in many transactions');
is($node->safe_psql('postgres', 'SELECT number, active_key_digest FROM dbcrypt_keys WHERE active_key_digest IS NOT NULL ORDER BY 1'),
	"2|$new_digest\n3|$third_digest", 'the third key has its row');
is($node->safe_psql('postgres', 'SET ROLE coder; SELECT sum(rotated) FROM dbcrypt.dbcrypt_rotate_all()'), 13000, 'the rest at once');
is($node->safe_psql('postgres', 'SELECT active_key_digest FROM dbcrypt_keys WHERE active_key_digest IS NOT NULL'), $third_digest,
	'which revokes the second key');
read_all_ok($third, 'with the third key alone');

# The key of the catalog that is revoked cannot come back.
write_key_file(key_file($node), $new, $third);
like(psql_error($node, "SELECT dbcrypt.dbcrypt_rotate('user_secrets', 'value')"), qr/key $new_digest is revoked by the application/,
	'a key that Coder revoked is refused');
write_key_file(key_file($node), $third);

### the row of the key cannot go away while values are written

my $session = new_session($node);
$session->query_safe('BEGIN; UPDATE crypto_keys SET secret = \'plain\', secret_key_id = NULL WHERE id = 3');
$session->query_safe("SELECT dbcrypt.dbcrypt_rotate('crypto_keys', 'secret')");
like(psql_error($node, "SET lock_timeout = '1s'; UPDATE dbcrypt_keys SET revoked_key_digest = active_key_digest, active_key_digest = NULL WHERE number = 3"),
	qr/lock timeout/, 'revocation by the application waits for a rotation');
$session->query_safe('ROLLBACK');
$session->quit;

### blank strings, which Coder leaves without a key id, are no finding and stay blank

$node->safe_psql('postgres', q{
	CREATE TABLE mcp_server_configs (id int PRIMARY KEY, api_key_value text NOT NULL DEFAULT '',
		api_key_value_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	INSERT INTO mcp_server_configs VALUES (1, '', NULL), (2, '', NULL), (3, 'plain', NULL);
});
is($node->safe_psql('postgres', 'SELECT * FROM dbcrypt.dbcrypt_adopt_coder()'), 'mcp_server_configs|api_key_value|0|f', 'the new table is adopted');
is($node->safe_psql('postgres', q{SELECT state, "values" FROM dbcrypt.dbcrypt_verify('mcp_server_configs', 'api_key_value')}), 'not encrypted|1', 'what is not blank is plaintext');
is($node->safe_psql('postgres', q{SELECT * FROM dbcrypt.dbcrypt_rotate('mcp_server_configs', 'api_key_value')}), '3|1|2|0', 'which alone is encrypted');
is($node->safe_psql('postgres', q{SELECT id FROM mcp_server_configs WHERE api_key_value = '' AND api_key_value_key_id IS NULL}), "1\n2", 'the blank ones are blank');
$node->safe_psql('postgres', 'DROP TABLE mcp_server_configs');

### dump and restore keep what is registered

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'restored');
my $registry = 'SELECT "table", "column", scheme, aad, options FROM dbcrypt.dbcrypt_columns ORDER BY "table"::text, 2';
is($node->safe_psql('restored', $registry), $node->safe_psql('postgres', $registry), 'the registry with its options');
is($node->safe_psql('restored', 'SELECT DISTINCT state FROM dbcrypt.dbcrypt_verify_all()'), 'primary', 'every value opens there');

### what is not adopted

like(psql_error($node, 'CREATE SCHEMA other; CREATE TABLE other.dbcrypt_keys (LIKE public.dbcrypt_keys INCLUDING ALL); SELECT dbcrypt.dbcrypt_adopt_coder()'),
	qr/more than one table is a catalog/, 'an ambiguous catalog must be named');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbcrypt.dbcrypt_adopt_coder('public.dbcrypt_keys')}), 0, 'so that it is known');
like(psql_error($node, q{SELECT dbcrypt.dbcrypt_adopt_coder('dbcrypt.dbcrypt_keys')}), qr/not a catalog of Coder's keys/, "dbcrypt's own is none");
$node->safe_psql('postgres', q{DROP SCHEMA other CASCADE; CREATE TABLE odd (token text, key text REFERENCES dbcrypt_keys (active_key_digest))});
like(psql_error($node, q{SELECT dbcrypt.dbcrypt_adopt_coder()}), qr/cannot tell whose key ids column "key" of table "odd" holds/, 'an odd name is not passed over');
$node->safe_psql('postgres', q{SELECT dbcrypt.dbcrypt_adopt('odd', 'token', 'coder', '{"key_id": "key"}')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbcrypt.dbcrypt_adopt_coder()}), 0, 'adopted by hand it is known');
$node->safe_psql('postgres', q{CREATE TABLE digests (d text PRIMARY KEY); CREATE TABLE strange (v text, v_key_id text REFERENCES digests)});
like(psql_error($node, q{SELECT dbcrypt.dbcrypt_adopt('strange', 'v', 'coder')}), qr/is part of foreign key.*\nDETAIL:  Table "digests" is not a catalog of keys/,
	'a foreign key to anything else is refused');
$node->stop;

done_testing();
