# Hostile neighbours of Coder: who may refer to its catalog of keys may not add keys to
# it, nor revoke them, by rotating.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = map { key_hex($_) } 1, 2;
my $node = new_node('catalog', keys => [$old], start => 0);
$node->start;
$node->safe_psql('postgres', q{
	CREATE SCHEMA dbcrypt;
	CREATE EXTENSION dbcrypt SCHEMA dbcrypt;
	SELECT dbcrypt.dbcrypt_register_keys();
	CREATE ROLE coder;
	CREATE ROLE intruder LOGIN;
	CREATE TABLE dbcrypt_keys (
		number int PRIMARY KEY, active_key_digest text UNIQUE, revoked_key_digest text UNIQUE,
		created_at timestamptz DEFAULT now(), revoked_at timestamptz, test text NOT NULL);
	CREATE TABLE theirs (id int, value text, value_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	ALTER TABLE dbcrypt_keys OWNER TO coder;
	ALTER TABLE theirs OWNER TO coder;
	GRANT REFERENCES, SELECT ON dbcrypt_keys TO intruder;
	GRANT USAGE ON SCHEMA dbcrypt TO intruder, coder;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbcrypt TO intruder, coder;
	GRANT CREATE ON SCHEMA public TO intruder});
my @intruder = (extra_params => [ '-U', 'intruder' ]);
my $keys = q{SELECT count(*), count(active_key_digest), count(revoked_key_digest) FROM dbcrypt_keys};

# Coder's own table gives the old key its row.
$node->safe_psql('postgres', q{
	INSERT INTO theirs VALUES (1, 'plain', NULL);
	SELECT dbcrypt.dbcrypt_adopt('theirs', 'value', 'coder', '{"key_id": "value_key_id"}');
	SET ROLE coder;
	SELECT dbcrypt.dbcrypt_encrypt_column('theirs', 'value')});
is($node->safe_psql('postgres', $keys), '1|1|0', 'one key');

$node->safe_psql('postgres', q{
	CREATE TABLE mine (id int, value text, value_key_id text REFERENCES dbcrypt_keys (active_key_digest));
	INSERT INTO mine VALUES (1, 'plain', NULL);
	SELECT dbcrypt.dbcrypt_adopt('mine', 'value', 'coder', '{"key_id": "value_key_id"}');
	SELECT dbcrypt.dbcrypt_encrypt_column('mine', 'value')}, @intruder);
pass('whoever may refer to the catalog may use its key, as by a foreign key');

write_key_file(key_file($node), $new, $old);
$node->safe_psql('postgres', 'SELECT dbcrypt.dbcrypt_register_keys()');
foreach my $statement (q{SELECT dbcrypt.dbcrypt_rotate('mine', 'value')},
	q{CALL dbcrypt.dbcrypt_rotate_online('mine', 'value')}, q{CALL dbcrypt.dbcrypt_rotate_online('mine', 'value', workers => 2)},
	q{INSERT INTO mine VALUES (2, 'plain', NULL); SELECT dbcrypt.dbcrypt_encrypt_column('mine', 'value')})
{
	like(psql_error($node, $statement, @intruder),
		qr/permission denied for table dbcrypt_keys\nDETAIL:  It has no row yet for the primary key, and role "intruder" may not add one\.\nHINT:  Grant INSERT and UPDATE/,
		"no key is added by $statement");
	is($node->safe_psql('postgres', $keys), '1|1|0', '... and none is there');
}

# Revocation: once all of Coder's values are under the new key, nothing refers to the old one.
$node->safe_psql('postgres', 'DELETE FROM mine WHERE id = 2');
$node->safe_psql('postgres', 'GRANT INSERT ON dbcrypt_keys TO intruder');
$node->safe_psql('postgres', 'UPDATE theirs SET value_key_id = NULL'); # refers to none for a while
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT dbcrypt.dbcrypt_rotate('mine', 'value')}, @intruder);
is($out, '(1,1,0,0)', 'with INSERT it rotates');
like($err, qr/NOTICE:  key \w+ is not revoked in table "dbcrypt_keys"\nDETAIL:  That takes the privilege to UPDATE the table/,
	'... but revokes no key of the catalog');
is($node->safe_psql('postgres', $keys), '2|2|0', '... indeed');
$node->safe_psql('postgres', 'GRANT UPDATE ON dbcrypt_keys TO intruder');
$node->safe_psql('postgres', q{SELECT dbcrypt.dbcrypt_rotate('mine', 'value')}, @intruder);
is($node->safe_psql('postgres', $keys), '2|1|1', 'with UPDATE it does');
$node->stop;
done_testing();
