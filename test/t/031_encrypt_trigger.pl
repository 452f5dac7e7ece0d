# dbcrypt_encrypt_trigger: no plaintext in any file or the WAL, logical
# replication, dump and restore.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $secret = 'the-plaintext-of-someone';
my $make = q{
	CREATE TABLE t (id int PRIMARY KEY, c text);
	CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON t
		FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('c', 'id');
};

### plaintext reaches no tuple

my $node = new_node('source', allows_streaming => 'logical');
$node->safe_psql('postgres', $make . "SELECT dbcrypt_register_column('t', 'c', 'id')");
$node->safe_psql('postgres', 'CREATE TABLE control (c text); CREATE INDEX ON t USING hash (c)');
my $long = join '', map { "$secret/$_" } 1 .. 500;
$node->safe_psql('postgres', "COPY t FROM STDIN;\n" . join('', map { "$_\t$secret\n" } 1 .. 500) . "501\t$long\n\\.\n");
my $changed = $node->safe_psql('postgres', 'SELECT c FROM t WHERE id = 2');
$node->safe_psql('postgres', 'ANALYZE t; CHECKPOINT');
is_deeply([ grep_files($node->data_dir, $secret) ], [], 'no file holds the plaintext, nor the WAL');
$node->safe_psql('postgres', "COPY control FROM STDIN;\n$secret\n\\.\n");
cmp_ok(scalar grep_files($node->data_dir . '/pg_wal', $secret), '>=', 1, 'the WAL would show it');
is(decrypt_all_ok($node, 't', 'c', 'id::text'), 501, 'all is there');

### logical replication: apply fires the trigger only if it is ENABLE ALWAYS or REPLICA

my $subscriber = new_node('subscriber', allows_streaming => 'logical');
$node->safe_psql('postgres', 'CREATE TABLE plain (id int PRIMARY KEY, c text, n int); INSERT INTO plain VALUES (1, \'copied\', 0)');
$subscriber->safe_psql('postgres', $make . q{
	CREATE TABLE plain (id int PRIMARY KEY, c text, n int);
	CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON plain
		FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('c', 'id');
	ALTER TABLE plain ENABLE ALWAYS TRIGGER encrypt;
	ALTER TABLE t ENABLE REPLICA TRIGGER encrypt;
});
$node->safe_psql('postgres', 'CREATE PUBLICATION pub FOR TABLE t, plain');
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$subscriber->wait_for_subscription_sync($node, 'sub');
is(decrypt_all_ok($subscriber, 't', 'c', 'id::text'), 501, 'envelopes are replicated as they are');
is($subscriber->safe_psql('postgres', 'SELECT c FROM t WHERE id = 2'), $changed, 'unchanged');
$node->safe_psql('postgres', q{
	INSERT INTO plain VALUES (2, 'applied', 0), (3, 'applied', 0);
	UPDATE plain SET c = 'updated' WHERE id = 3;
	UPDATE plain SET n = 1 WHERE id = 2;
	UPDATE t SET c = 'new' WHERE id = 2;
});
$node->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', 'SELECT id, dbcrypt_decrypt(c, id::text), n FROM plain ORDER BY id'),
	"1|copied|0\n2|applied|1\n3|updated|0", 'plaintext that arrives is encrypted, in the first copy and after');
is($subscriber->safe_psql('postgres', "SELECT dbcrypt_decrypt(c, '2') FROM t WHERE id = 2"), 'new', 'a later change of an envelope');
$subscriber->safe_psql('postgres', 'ALTER TABLE plain ENABLE TRIGGER encrypt');
$node->safe_psql('postgres', "INSERT INTO plain VALUES (4, 'applied', 0)");
$node->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', 'SELECT c FROM plain WHERE id = 4'), 'applied', 'an ordinary trigger does not fire');
# A key that was revoked here stops the apply rather than come in.
my $old = key_id(key_hex(2));
$subscriber->safe_psql('postgres', "SELECT dbcrypt_register_column('t', 'c', 'id')");
$subscriber->safe_psql('postgres', "SELECT dbcrypt_revoke_key('$old')");
my $offset = -s $subscriber->logfile;
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->safe_psql('postgres', "INSERT INTO t VALUES (600, 'under the other key')");
$subscriber->wait_for_log(qr/encryption key $old is revoked/, $offset);
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM t WHERE id = 600'), 0, 'a revoked key does not come in');
$subscriber->safe_psql('postgres', "SELECT dbcrypt_reinstate_key('$old')");
$node->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', "SELECT dbcrypt_decrypt(c, '600') FROM t WHERE id = 600"), 'under the other key', 'reinstated, it does');
$subscriber->stop;

### dump and restore: data comes before triggers

my $dump = $node->basedir . '/dump';
$node->safe_psql('postgres', "DROP TABLE control, plain");
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-1', '-d', $node->connstr('restored'), $dump ], 'restore');
is($node->safe_psql('restored', "SELECT count(*), count(*) FILTER (WHERE dbcrypt_decrypt(c, id::text) <> '') FROM t"),
	'502|502', 'every value decrypts');
$node->safe_psql('restored', "INSERT INTO t VALUES (1000, 'after the restore')");
is($node->safe_psql('restored', "SELECT dbcrypt_decrypt(c, '1000') FROM t WHERE id = 1000"), 'after the restore', 'the trigger is back');
$node->safe_psql('restored', 'TRUNCATE t');
my $table_data = $node->basedir . '/data.sql';
$node->command_ok([ 'pg_dump', '--data-only', '-t', 't', '-f', $table_data, $node->connstr('postgres') ], 'dump of data alone');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $table_data ],
	'it passes the trigger, which knows the keys');
is($node->safe_psql('restored', "SELECT count(*), count(*) FILTER (WHERE dbcrypt_decrypt(c, id::text) <> '') FROM t"),
	'502|502', 'every value decrypts again');
$node->stop;

done_testing();
