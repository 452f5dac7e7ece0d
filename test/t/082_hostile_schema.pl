# Whoever may create in the extension's schema makes functions that fit a call of dbcrypt's
# own better than the extension's function does. None runs with a superuser's rights.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('hostile_schema');
my $id = key_id(key_hex(1));
$node->safe_psql('postgres', q{
	CREATE ROLE intruder LOGIN;
	GRANT CREATE ON SCHEMA public TO intruder;
	CREATE TABLE victims (id int, secret text, b bytea);
	INSERT INTO victims VALUES (1, dbcrypt_encrypt('x'), '\x00');
	SELECT dbcrypt_register_column('victims', 'secret')});
my @census = q{SELECT "table", "column", key_id, state, "values" FROM dbcrypt_census() WHERE state <> 'looks encrypted'};
is($node->safe_psql('postgres', "@census"), "victims|secret|$id|registered|1", 'the census before');

# Each attack leaves a trace, and would make the intruder a superuser.
my @intruder = (extra_params => [ '-U', 'intruder' ]);
my $body = q{LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'trapped as %', current_user; ALTER ROLE intruder SUPERUSER; RETURN NULL; END$$};
foreach my $arguments ('tid, text, bytea', 'tid, text', 'tid, bytea', 'tid, int', 'tid, int, text, bytea', 'tid, anyelement', 'tid, VARIADIC text[]')
{
	$node->safe_psql('postgres', "CREATE FUNCTION public.dbcrypt_census_values($arguments) RETURNS bytea $body", @intruder);
}
foreach my $name (qw(dbcrypt_check dbcrypt_census dbcrypt_verify_all dbcrypt_loaded_keys dbcrypt_register_keys))
{
	$node->safe_psql('postgres', "CREATE FUNCTION public.$name(VARIADIC int[]) RETURNS text $body", @intruder);
}
$node->safe_psql('postgres', q{CREATE TABLE own AS SELECT 'x'::text AS s, '\x00'::bytea AS b}, @intruder);

my ($rc, $out, $err) = $node->psql('postgres', q{SELECT "table", "column", state, detail FROM dbcrypt_census()});
unlike($err, qr/trapped/, 'the census runs no function of others');
like($out, qr/^victims\|\|not readable\|public\.victims: another function stands in the way of dbcrypt_census_values/m,
	'... and says which tables it did not read');
($rc, $out, $err) = $node->psql('postgres', "CALL dbcrypt_revoke_keys(ARRAY['" . key_id(key_hex(2)) . "'])");
unlike($err, qr/trapped/, 'nor does a revocation');
foreach my $statement ('SELECT * FROM dbcrypt_check()', 'SELECT * FROM dbcrypt_verify_all()', 'SELECT * FROM dbcrypt_key_status',
	'SELECT * FROM dbcrypt_register_keys()', "SELECT * FROM dbcrypt_databases('$id')")
{
	unlike(psql_error($node, $statement), qr/trapped|ERROR/, $statement);
}
like($node->safe_psql('postgres', "SELECT state FROM dbcrypt_databases('$id') WHERE database = 'postgres'"),
	qr/could not be asked/, 'the database could not be asked');
is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'intruder'}), 'f', 'the intruder is no superuser');

$node->safe_psql('postgres', q{DO $$ DECLARE f regprocedure; BEGIN
	FOR f IN SELECT p.oid FROM pg_proc p WHERE proowner = 'intruder'::regrole LOOP EXECUTE format('DROP FUNCTION %s', f); END LOOP; END $$});
is($node->safe_psql('postgres', "@census"), "victims|secret|$id|registered|1", 'and the census after');
$node->stop;
done_testing();
