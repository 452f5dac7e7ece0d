# Partitions on another server, behind postgres_fdw: what dbcrypt cannot reach is
# refused by name, the rest goes on, and the other server does its part. A trigger that
# keeps a shadow of one partition stops what includes that partition.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($new_id, $old_id) = map { key_id(key_hex($_)) } 1, 2;
my $old_keys = sprintf q{SET dbcrypt.keys = '%s,%s';}, key_hex(2), key_hex(1);
my $node = new_node('partitions');
my $elsewhere = new_node('elsewhere');
plan skip_all => 'the server does not have postgres_fdw'
  unless $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'});

$elsewhere->safe_psql('postgres', $old_keys . q{
	CREATE TABLE part2 (id int NOT NULL, c text);
	INSERT INTO part2 SELECT i, dbcrypt_encrypt('value ' || i) FROM generate_series(11, 20) i;
	SELECT dbcrypt_register_column('part2', 'c')});
my ($host, $port) = ($elsewhere->host, $elsewhere->port);
$node->safe_psql('postgres', $old_keys . qq{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
	CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere;
	CREATE TABLE t (id int NOT NULL, c text) PARTITION BY RANGE (id);
	CREATE TABLE part1 PARTITION OF t FOR VALUES FROM (1) TO (11);
	CREATE FOREIGN TABLE part2 PARTITION OF t FOR VALUES FROM (11) TO (21) SERVER elsewhere;
	CREATE TABLE part3 PARTITION OF t FOR VALUES FROM (21) TO (31);
	INSERT INTO t SELECT i, dbcrypt_encrypt('value ' || i) FROM generate_series(1, 30) i WHERE i NOT BETWEEN 11 AND 20;
	CREATE TABLE other (c text);
	INSERT INTO other SELECT c FROM t;
	SELECT dbcrypt_register_column('t', 'c'), dbcrypt_register_column('other', 'c')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM t WHERE dbcrypt_decrypt(c) = 'value ' || id}), 30, 'SQL reads every row');

foreach my $call (q{SELECT dbcrypt_rotate('t', 'c')}, q{CALL dbcrypt_rotate_online('t', 'c')}, q{CALL dbcrypt_rotate_in_place('t', 'c')},
	q{SELECT dbcrypt_verify('t', 'c')}, q{SELECT dbcrypt_encrypt_column('t', 'c')})
{
	like(psql_error($node, $call),
		qr/ERROR:  column "c" of table "t" has values on another server\nDETAIL:  Table "public\.part2": it is a foreign table of server "elsewhere"\./, $call);
}

my ($rc, $out, $err) = $node->psql('postgres', 'SELECT "table", rotated, problem FROM dbcrypt_rotate_all()');
is($out, qq{other|30|\nt||Table "public.part2": it is a foreign table of server "elsewhere".}, 'rotate_all does the rest and names the one');
like($err, qr/WARNING:  not all registered columns were rotated/, 'and warns');
($rc, $out, $err) = $node->psql('postgres', 'SELECT "table", state, "values" FROM dbcrypt_verify_all()');
is($out, "other|primary|30\nt|not readable|", 'so does verify_all');
like($err, qr/WARNING:  1 of the registered columns could not be read/, 'and warns');

# The way that the hint names.
$node->safe_psql('postgres', "SELECT dbcrypt_rotate('$_', 'c')") for qw(part1 part3);
is($elsewhere->safe_psql('postgres', 'SELECT rotated FROM dbcrypt_rotate_all()'), 10, 'the other server rotates its rows');
is($node->safe_psql('postgres', q{SELECT count(*), string_agg(DISTINCT dbcrypt_key_id(c), ' ') FROM t WHERE dbcrypt_decrypt(c) = 'value ' || id}),
	"30|$new_id", 'every row opens, under the new key');

# A shadow of one partition, kept by triggers, as tools for online schema changes do.
$node->safe_psql('postgres', q{DROP FOREIGN TABLE part2} . qq{;
	CREATE TABLE shadow (LIKE part3);
	CREATE FUNCTION to_shadow() RETURNS trigger LANGUAGE plpgsql AS
		\$\$ BEGIN INSERT INTO shadow VALUES (NEW.*); RETURN NULL; END \$\$;
	CREATE TRIGGER to_shadow AFTER INSERT OR UPDATE ON part3 FOR EACH ROW EXECUTE FUNCTION to_shadow();});
write_key_file(key_file($node), key_hex(2), key_hex(1));
foreach my $call (q{SELECT dbcrypt_rotate('%s', 'c')}, q{CALL dbcrypt_rotate_online('%s', 'c')}, q{CALL dbcrypt_rotate_in_place('%s', 'c')})
{
	like(psql_error($node, sprintf($call, $_)), qr/ERROR:  trigger "to_shadow" of table "part3" may copy rows/, sprintf($call, $_)) for qw(t part3);
}
is($node->safe_psql('postgres', q{SELECT rotated FROM dbcrypt_rotate('part1', 'c')}), 10, 'the other partition');
$node->safe_psql('postgres', 'DROP TRIGGER to_shadow ON part3');
is($node->safe_psql('postgres', q{SELECT scanned, rotated FROM dbcrypt_rotate('t', 'c')}), '20|10', 'and the rest when it is gone');

# A table whose file is gone, but not its index: SQL finds values that the scan does not.
$node->safe_psql('postgres', $old_keys . q{
	CREATE TABLE hollow (c text) WITH (autovacuum_enabled = off);
	INSERT INTO hollow SELECT dbcrypt_encrypt('value');
	CREATE INDEX ON hollow (c);
	SELECT dbcrypt_register_column('hollow', 'c')});
$node->safe_psql('postgres', 'VACUUM (FREEZE, ANALYZE) hollow');
my $path = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('hollow')});
$node->stop;
truncate $path, 0 or die "could not truncate \"$path\": $!";
$node->start;
my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off;';
foreach my $call (q{SELECT dbcrypt_verify('hollow', 'c')}, q{SELECT dbcrypt_rotate('hollow', 'c')}, q{SELECT dbcrypt_rotate('hollow', 'c', dry_run => true)},
	q{CALL dbcrypt_rotate_online('hollow', 'c')}, q{SELECT dbcrypt_decrypt_column('hollow', 'c', true)}, q{SELECT dbcrypt_rotate_all()})
{
	like(psql_error($node, "$by_index $call"), qr/ERROR:  no row of table "hollow" was found, but SQL finds values in column "c"/, $call);
}
is($node->safe_psql('postgres', "$by_index SELECT problem FROM dbcrypt_verify_all() WHERE state = 'not readable'"),
	'no row of table "hollow" was found, but SQL finds values in column "c": Something stands between the table and its rows.', 'a row of dbcrypt_verify_all()');
$node->safe_psql('postgres', 'TRUNCATE hollow');
is($node->safe_psql('postgres', "$by_index SELECT scanned FROM dbcrypt_rotate('hollow', 'c')"), 0, 'an empty table is no more than that');

$node->stop;
$elsewhere->stop;
done_testing();
