# dbcrypt_verify is the restore drill: it gives the same answer on a standby, in
# a read-only transaction, and can be interrupted.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('verify', allows_streaming => 1);
my $key1 = key_id(key_hex(1));
my $key2 = key_id(key_hex(2));

$node->safe_psql('postgres', q{
	CREATE TABLE people (id int PRIMARY KEY, secret text);
	INSERT INTO people SELECT i, dbcrypt_encrypt('old ' || i, i::text) FROM generate_series(1, 1000) i;
	SELECT dbcrypt_register_column('people', 'secret', 'id::text');
});
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->safe_psql('postgres', q{
	INSERT INTO people SELECT i, dbcrypt_encrypt('new ' || i, i::text) FROM generate_series(1001, 1200) i;
	INSERT INTO people VALUES (2000, 'clear'), (2001, dbcrypt_encrypt('of another row', '1')), (2002, NULL);
	CREATE UNLOGGED TABLE scratch (secret text);
	INSERT INTO scratch VALUES (dbcrypt_encrypt('x'));
	SELECT dbcrypt_register_column('scratch', 'secret');
});

my $expected = "$key2|primary|200\n$key1|old|1000\n|not encrypted|1\n$key2|failed|1";
my $verify = q{SELECT key_id, state, "values" FROM dbcrypt_verify('people', 'secret')};
is($node->safe_psql('postgres', $verify), $expected, 'on the primary server');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));

is($standby->safe_psql('postgres', $verify), $expected, 'on a standby');
my ($rc, $out, $err) = $standby->psql('postgres',
	'SELECT "table", key_id, state, "values" FROM dbcrypt_verify_all()');
is($out, join("\n", map { "people|$_" } split /\n/, $expected), 'every registered column');
like($err, qr/NOTICE:  table "scratch" is unlogged and has no rows on a standby/,
	'an unlogged table is named');
is($standby->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; $verify; COMMIT"),
	$expected, 'in a read-only transaction');

# A standby without the old key says which values it could not serve.
write_key_file(key_file($node) . '.standby', key_hex(2));
$standby->append_conf('postgresql.conf', "dbcrypt.key_file = '" . key_file($node) . ".standby'");
$standby->reload;
is( $standby->safe_psql('postgres', "SELECT key_id, state, \"values\", cardinality(examples)
		FROM dbcrypt_verify('people', 'secret') WHERE state = 'not loaded'"),
	"$key1|not loaded|1000|5", 'values under a key that is missing there');

# It stops when told to.
$node->safe_psql('postgres', q{
	CREATE FUNCTION slow_aad(int) RETURNS text LANGUAGE plpgsql STABLE AS
		$$ BEGIN PERFORM pg_sleep(0.01); RETURN $1::text; END $$;
	CREATE TABLE slow AS SELECT * FROM people;
	SELECT dbcrypt_register_column('slow', 'secret', 'public.slow_aad(id)')});
(undef, undef, $err) = $node->psql('postgres',
	"SET statement_timeout = '200ms'; SELECT * FROM dbcrypt_verify('slow', 'secret')");
like($err, qr/canceling statement due to statement timeout/, 'interrupted');

$standby->stop;
$node->stop;
done_testing();
