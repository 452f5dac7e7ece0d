# dbcrypt_encrypt_column, dbcrypt_decrypt_column and dbcrypt_delete_column: what
# is left in files, after crashes, in tablespaces, on a standby.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use File::Find ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Files of the data directory that hold these bytes, leaving out the WAL.
sub files_with
{
	my ($node, $bytes) = @_;
	return grep { !m{/pg_wal/} } grep_files($node->data_dir, $bytes);
}

# wal_level minimal takes the path that logs no row of the new file.
my $node = new_node('life',
	conf => "wal_level = minimal\nmax_wal_senders = 0\nallow_in_place_tablespaces = on\nautovacuum = off\n");
my $secret = 'the-plaintext-of-someone';

### the plaintext leaves the files

# Statements carry no plaintext: it comes by COPY.
my $long = join '', map { "$secret/$_/" } 1 .. 400;
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION ''");
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int, c text, g text GENERATED ALWAYS AS (left(c, 50)) STORED) TABLESPACE elsewhere;
	ALTER TABLE t ALTER c SET STORAGE EXTERNAL;
	CREATE INDEX t_g ON t (g);
	CREATE INDEX t_upper ON t (reverse(left(c, 60)));
	CREATE STATISTICS t_s (mcv) ON id, g FROM t;
	CREATE UNLOGGED TABLE u (id int, c text);
	CREATE TABLE p (id int, c text) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
});
my $rows = join '', map { "$_\t" . ($_ % 10 ? "$secret " . $_ % 7 : $long) . "\n" } 1 .. 500;
$node->safe_psql('postgres', "COPY t (id, c) FROM STDIN;\n$rows\\.\n");
$node->safe_psql('postgres', 'INSERT INTO u SELECT id, c FROM t; INSERT INTO p SELECT id, c FROM t;');
$node->safe_psql('postgres', 'DELETE FROM t WHERE id <= 3; ANALYZE; CHECKPOINT;');
cmp_ok(scalar files_with($node, $secret), '>=', 5, 'before: plaintext in heaps, TOAST, indexes, statistics');
cmp_ok(scalar files_with($node, reverse $secret), '>=', 1, 'before: in an index over an expression');

for my $table (qw(t u p))
{
	is($node->safe_psql('postgres', "SELECT encrypted > 400 FROM dbcrypt_encrypt_column('$table', 'c', 'id')"),
		't', "$table is encrypted");
}
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stats s WHERE s::text LIKE '%' || reverse('$secret' COLLATE \"C\") || '%' OR s::text LIKE '%$secret%'"),
	0, 'no statistics show plaintext');
$node->safe_psql('postgres', 'VACUUM FULL pg_statistic; VACUUM FULL pg_statistic_ext_data; CHECKPOINT;');
is_deeply([ files_with($node, $secret) ], [], 'no file holds the plaintext');
is_deeply([ files_with($node, reverse $secret) ], [], 'nor an index over an expression');
is($node->safe_psql('postgres', "SELECT spcname FROM pg_class c JOIN pg_tablespace s ON s.oid = reltablespace WHERE relname = 't'"),
	'elsewhere', 'the table stays in its tablespace');

### a crash after the commit

$node->stop('immediate');
$node->start;
is(decrypt_all_ok($node, 't', 'c', 'id::text'), 497, 'a logged table survives a crash');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE left(dbcrypt_decrypt(c, id::text), 24) = \'the-plaintext-of-someone\''),
	497, 'with its plaintext');
is(decrypt_all_ok($node, 'p', 'c', 'id::text'), 500, 'so does a partition');
is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), 0, 'an unlogged one is empty after it, as ever');

### interrupted half way: nothing has happened

$node->safe_psql('postgres', q{
	CREATE TABLE half (id int PRIMARY KEY, c text);
	INSERT INTO half SELECT i, 'value ' || i FROM generate_series(1, 2000) i;
	CREATE FUNCTION wait_at(int) RETURNS text LANGUAGE plpgsql STABLE AS
		$$BEGIN IF $1 = 1000 THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN $1; END$$;
});
my $filenode = $node->safe_psql('postgres', "SELECT pg_relation_filenode('half')");

# Interrupts an encryption that waits in its 1000th row, by this statement or code.
sub interrupt
{
	my ($how, $what) = @_;
	my $blocker = new_session($node);
	$blocker->query_safe('SELECT pg_advisory_lock(1)');
	my $victim = new_session($node);
	my $pid = $victim->query_safe('SELECT pg_backend_pid()');
	$victim->query_until(qr/started/, "\\echo started\nSELECT dbcrypt_encrypt_column('half', 'c', 'public.wait_at(id)');\n");
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' AND wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'the encryption does not wait';
	my $offset = -s $node->logfile;
	$what->($pid);
	eval { $_->quit } for $blocker, $victim;
	wait_for_crash($node, $offset) if $how eq 'killed';
	is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE c = 'value ' || id), pg_relation_filenode('half') = $filenode FROM half"),
		'2000|2000|t', "$how: the table is as it was");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_columns WHERE "table" = \'half\''),
		0, "$how: the column is not registered");
	return;
}
interrupt('cancelled', sub { $node->safe_psql('postgres', "SELECT pg_cancel_backend($_[0])") });
interrupt('terminated', sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($_[0])") });
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
interrupt('killed', sub { kill 'KILL', $_[0] });
is($node->safe_psql('postgres', "SELECT * FROM dbcrypt_encrypt_column('half', 'c', 'public.wait_at(id)')"),
	'2000|2000|0|0', 'one more call does it all');
is(decrypt_all_ok($node, 'half', 'c', 'wait_at(id)'), 2000, 'and all is there');

### a database of another encoding: text is UTF-8 inside an envelope

$node->safe_psql('postgres', "CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
$node->safe_psql('latin1', q{
	CREATE EXTENSION dbcrypt;
	SELECT dbcrypt_register_keys();
	CREATE TABLE l (c text, d text);
	INSERT INTO l (c) VALUES (U&'caf\00e9');
	CREATE TRIGGER encrypt BEFORE UPDATE ON l FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('d');
	SELECT dbcrypt_encrypt_column('l', 'c');
	UPDATE l SET d = U&'caf\00e9';
});
is($node->safe_psql('latin1', q{SELECT dbcrypt_decrypt(c) = U&'caf\00e9', dbcrypt_decrypt(decode(c, 'base64')), dbcrypt_decrypt(decode(d, 'base64')) FROM l}),
	't|\x636166c3a9|\x636166c3a9', 'encrypted in LATIN1');
$node->safe_psql('latin1', "SET dbcrypt.decrypt_keys = '${\ key_id(key_hex(1))}'; SELECT dbcrypt_decrypt_column('l', 'c')");
is($node->safe_psql('latin1', q{SELECT c = U&'caf\00e9' FROM l}), 't', 'and decrypted');

### deletion

my $ciphertext = $node->safe_psql('postgres', 'SELECT c FROM half WHERE id = 7');
$node->safe_psql('postgres', 'ANALYZE half; CHECKPOINT');
cmp_ok(scalar files_with($node, $ciphertext), '>=', 1, 'before: the envelope is in a file');
# Deletion needs no key.
unlink key_file($node) or die "could not remove the key file: $!";
is($node->safe_psql('postgres', "SELECT dbcrypt_delete_column('half', 'c', 'public.half.c')"),
	2000, 'deleted, without any key');
is($node->safe_psql('postgres', 'SELECT count(*), count(c) FROM half'), '2000|0', 'every value is gone');
$node->safe_psql('postgres', 'VACUUM FULL pg_statistic; CHECKPOINT');
is_deeply([ files_with($node, $ciphertext) ], [], 'from the files too');
$node->stop;

### replication: WAL carries the new rows

my $primary = new_node('primary', allows_streaming => 1);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', q{
	CREATE TABLE r (id int PRIMARY KEY, c text);
	INSERT INTO r SELECT i, repeat('long value ' || i, 1000) FROM generate_series(1, 300) i;
	SELECT dbcrypt_encrypt_column('r', 'c', 'id');
});
$primary->wait_for_catchup($standby);
is(decrypt_all_ok($standby, 'r', 'c', 'id::text'), 300, 'a standby has the encrypted rows');
for my $call ("dbcrypt_encrypt_column('r', 'c')", "dbcrypt_decrypt_column('r', 'c')",
	"dbcrypt_delete_column('r', 'c', 'public.r.c')")
{
	like(psql_error($standby, "SELECT $call"),
		qr/cannot execute dbcrypt_\w+_column\(\) (during recovery|in a read-only transaction)/,
		"a standby refuses $call");
}
my ($key) = map { key_id($_) } key_hex(1);
$primary->safe_psql('postgres', "SET dbcrypt.decrypt_keys = '$key'; SELECT dbcrypt_decrypt_column('r', 'c')");
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT count(*) FROM r WHERE c = repeat('long value ' || id, 1000)"),
	300, 'and the decrypted ones');
$standby->stop;
$primary->stop;

done_testing();
