# Containarium's secrets, written and read by another program, under a key file of
# 32 raw bytes; rows of its KMS and its version guard are left alone.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Node is not installed' unless client_available();

my ($old, $new) = map { secret_key("containarium $_") } 1 .. 2;
my $node = new_node('containarium', keys => [$old], start => 0);
# Its own secrets.key.
open my $raw, '>:raw', key_file($node) or die $!;
print $raw pack('H*', $old);
close $raw;
chmod 0600, key_file($node);
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION dbcrypt;
	SELECT dbcrypt_register_keys();
} . application_sql('containarium') . q{
	CREATE TABLE plain AS SELECT 'üser/' || i % 17 AS username, 'KEY_' || i AS name,
		CASE WHEN i % 40 = 0 THEN '' WHEN i % 41 = 0 THEN repeat('long', 5000) ELSE 'värde ' || i END AS plaintext
		FROM generate_series(1, 400) i;
});
my $rows = $node->safe_psql('postgres', q{SELECT json_build_object('username', username, 'name', name,
	'plaintext', encode(convert_to(plaintext, 'UTF8'), 'hex')) FROM plain});
my $sealed = client('seal', 'containarium', $old, $rows);
$node->safe_psql('postgres', "CREATE TABLE sealed (j jsonb);\nCOPY sealed FROM STDIN;\n$sealed\\.\n");
$node->safe_psql('postgres', q{
	INSERT INTO secrets (username, name, ciphertext, nonce) SELECT j->>'username', j->>'name', decode(j->>'value', 'hex'), decode(j->>'companion', 'hex') FROM sealed;
	INSERT INTO secrets (username, name, ciphertext, nonce, version, wrapped_dek, kek_id) SELECT 'kms', i::text, 'theirs', 'theirs', 3, 'wrapped', 'kek' FROM generate_series(1, 5) i;
	CREATE TABLE before AS SELECT * FROM secrets;
	SELECT dbcrypt_adopt('secrets', 'ciphertext', 'containarium');
});

write_key_file(key_file($node), $new, $old);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
is($node->safe_psql('postgres', q{SELECT * FROM dbcrypt_rotate('secrets', 'ciphertext')}), '405|400|0|0', 'rotated; rows of the KMS are scanned');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE s.ciphertext <> b.ciphertext AND s.nonce <> b.nonce), count(*) FILTER (WHERE s = b), bool_and(s.version = b.version)
	FROM secrets s JOIN before b USING (username, name)}), '400|5|t', 'value and nonce change together, nothing else does');
$node->safe_psql('postgres', 'SELECT dbcrypt_revoke_key(\'' . key_id($old) . '\')');
my $stored = $node->safe_psql('postgres', q{SELECT json_build_object('username', username, 'name', name,
	'value', encode(ciphertext, 'hex'), 'companion', encode(nonce, 'hex')) FROM secrets WHERE wrapped_dek IS NULL});
my $opened = client('open', 'containarium', $new, $stored);
is($node->safe_psql('postgres', "CREATE TEMP TABLE opened (j jsonb);\nCOPY opened FROM STDIN;\n$opened\\.\n"
	. q{SELECT count(*) FROM opened JOIN plain ON username = j->>'username' AND name = j->>'name'
		WHERE convert_from(decode(j->>'plaintext', 'hex'), 'UTF8') = plaintext}),
	400, 'Containarium reads every value with the new key alone');

### in place: convert_to() gives the same bytes in every session

my $third = secret_key('containarium 3');
write_key_file(key_file($node), $third, $new);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
like($node->safe_psql('postgres', q{CALL dbcrypt_rotate_in_place('secrets', 'ciphertext')}), qr/^\d+\|\d+\|\d+\|\d+\|\d+\|\d+\|0$/, 'rotated within the rows');
is($node->safe_psql('postgres', q{SELECT key_id, state, "values" FROM dbcrypt_verify('secrets', 'ciphertext')}), key_id($third) . '|primary|400', 'every value is under the third key');
write_key_file(key_file($node), $third);
$stored = $node->safe_psql('postgres', q{SELECT json_build_object('username', username, 'name', name,
	'value', encode(ciphertext, 'hex'), 'companion', encode(nonce, 'hex')) FROM secrets WHERE wrapped_dek IS NULL});
client('open', 'containarium', $third, $stored);
pass('and Containarium opens them with it alone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM secrets s JOIN before b USING (username, name) WHERE s = b}), 5, 'rows of the KMS are as they were');
$node->stop;

done_testing();
