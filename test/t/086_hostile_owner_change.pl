# Hostile owners: ALTER TABLE ... OWNER TO hands no code of the old owner's to the new
# one, whatever an expression brings it by; plain expressions go on working.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('owner_change');
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE SCHEMA owner AUTHORIZATION owner;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO owner});
my @owner = (extra_params => [ '-U', 'owner' ]);

# What the old owner's code does when a superuser runs it.
my $attack = q{BEGIN
	IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
		RAISE WARNING 'code of the owner runs as %', current_user;
	END IF;
	RETURN $1::text;
END};

# Each: objects, the type and a value of the column that is read, the AAD over it or, of
# an adopted column, what chooses its rows.
my %ways = (
	'a function' => [ '', 'int', '1', 'owner.f(k)' ],
	'an operator' => [ 'CREATE OPERATOR owner.@@@ (PROCEDURE = owner.f, RIGHTARG = int)', 'int', '1', '(OPERATOR(owner.@@@) k)' ],
	'a cast' => [ q{CREATE TYPE owner.e AS ENUM ('a');
		CREATE FUNCTION owner.g(owner.e) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN owner.f(1); END$$ IMMUTABLE;
		CREATE CAST (owner.e AS text) WITH FUNCTION owner.g AS ASSIGNMENT}, 'owner.e', q{'a'}, 'k' ],
	'the check of a domain' => [ 'CREATE DOMAIN owner.d AS int CHECK (owner.f(VALUE) IS NOT NULL)', 'int', '1', '(k::owner.d)::text' ],
	'a constant that is read while it is parsed' => [ 'CREATE DOMAIN owner.dd AS int CHECK (owner.f(VALUE) IS NOT NULL)',
		'int', '1', undef, q{cardinality('{1,2}'::owner.dd[]) = k} ],
	'a constant beside a column of such a type' => [ 'CREATE DOMAIN owner.d2 AS int CHECK (owner.f(VALUE) IS NOT NULL)',
		'owner.d2[]', q{'{1}'}, undef, q{k <> '{1}'} ],
	'a row type' => [ 'CREATE DOMAIN owner.d3 AS int CHECK (owner.f(VALUE) IS NOT NULL); CREATE TYPE owner.c AS (a owner.d3)',
		'owner.c', 'ROW(1)::owner.c', undef, q{coalesce(k, '(1)') IS NOT NULL} ],
	'a view' => [ 'CREATE VIEW owner.v AS SELECT owner.f(1) AS x', 'int', '1', undef, q{(SELECT x = 'y' FROM owner.v)} ],
);
$node->safe_psql('postgres', "CREATE FUNCTION owner.f(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$f\$$attack\$f\$", @owner);
my $n = 0;
foreach my $way (sort keys %ways)
{
	my ($objects, $type, $value, $aad, $where) = @{ $ways{$way} };
	my $table = 'owner.t' . ++$n;
	my $call = "dbcrypt_rotate('$table', 's')";
	my $kind = $aad ? 'AAD' : 'where';
	$node->safe_psql('postgres', "$objects; CREATE TABLE $table (k $type, s text)", @owner);
	$node->safe_psql('postgres', $aad ? "SELECT dbcrypt_register_column('$table', 's', \$a\$$aad\$a\$)"
		: "SELECT dbcrypt_adopt('$table', 's', 'lockbox', jsonb_build_object('where', \$a\$$where\$a\$))");
	is($node->safe_psql('postgres', "SELECT registered_by FROM dbcrypt_columns WHERE \"table\" = 't$n'"),
		'owner', "$way: registered for whom it runs as, though by a superuser");
	$node->safe_psql('postgres', "INSERT INTO $table (k) VALUES ($value)", @owner);
	is(($node->psql('postgres', "SELECT scanned FROM $call", @owner))[1], 1, '... who may rotate');
	$node->safe_psql('postgres', "ALTER TABLE $table OWNER TO postgres");
	foreach my $statement ("SELECT scanned FROM $call", "SELECT * FROM dbcrypt_verify('$table', 's')",
		"SELECT * FROM dbcrypt_encrypt_column('$table', 's', dry_run => true)", "CALL dbcrypt_rotate_online('$table', 's')",
		"CALL dbcrypt_rotate_in_place('$table', 's')")
	{
		my ($rc, $out, $err) = $node->psql('postgres', $statement);
		unlike($err, qr/code of the owner runs/, "... and nothing of it runs as the new owner in $statement");
		like($err, qr/ERROR:  expressions of column "s" of table "t$n" were registered for another role\nDETAIL:  Namely, its $kind expression .* registered for role owner, but would run as postgres\.\nHINT:  .*dbcrypt_unregister_column/,
			'... which says what to do');
	}
	foreach my $statement ('SELECT * FROM dbcrypt_check()', 'SELECT * FROM dbcrypt_verify_all()', 'SELECT * FROM dbcrypt_rotate_all()')
	{
		my ($rc, $out, $err) = $node->psql('postgres', $statement);
		is($rc, 0, "$statement goes on");
		unlike($err, qr/code of the owner runs/, '... and runs nothing of it');
		like($out, qr/registered for (?:role owner|another role)/, '... but names it');
	}
	$node->safe_psql('postgres', "SELECT dbcrypt_unregister_column('$table', 's'); DROP TABLE $table");
}

# The trigger, in the session of whoever inserts.
$node->safe_psql('postgres', q{CREATE TABLE owner.watched (k int, s text)}, @owner);
$node->safe_psql('postgres', q{SELECT dbcrypt_register_column('owner.watched', 's', 'owner.f(k)')});
$node->safe_psql('postgres', q{
	CREATE TRIGGER e BEFORE INSERT OR UPDATE ON owner.watched FOR EACH ROW EXECUTE FUNCTION public.dbcrypt_encrypt_trigger('s', 'owner.f(k)');
	INSERT INTO owner.watched VALUES (1, 'x')}, @owner);
$node->safe_psql('postgres', q{ALTER TABLE owner.watched OWNER TO postgres; GRANT ALL ON owner.watched TO owner});
my ($rc, $out, $err) = $node->psql('postgres', q{INSERT INTO owner.watched VALUES (2, 'x')}, @owner);
unlike($err, qr/code of the owner runs/, 'an encrypting trigger runs nothing of the old owner as the new one');
like($err, qr/were registered for another role/, '... but refuses');
$node->safe_psql('postgres', q{
	SELECT dbcrypt_unregister_column('owner.watched', 's');
	CREATE OR REPLACE FUNCTION owner.f(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
	ALTER FUNCTION owner.f OWNER TO postgres;
	SELECT dbcrypt_register_column('owner.watched', 's', 'owner.f(k)')});
$node->safe_psql('postgres', q{INSERT INTO owner.watched VALUES (2, 'x')}, @owner);
is(decrypt_all_ok($node, 'owner.watched', 's', 'k::text'), 2, 'registered again it works');

# A restore without owners.
my $plain = q{concat_ws('/', 'plain', k, c, n, extract(epoch FROM at))};
$node->safe_psql('postgres', q{
	CREATE TYPE owner.color AS ENUM ('red');
	CREATE DOMAIN owner.number AS int CHECK (VALUE > 0);
	CREATE TABLE owner.plain (k int, c owner.color, n owner.number, at timestamptz, s text);
	INSERT INTO owner.plain VALUES (1, 'red', 1, '2000-01-01');
	CREATE TABLE owner.calls (k int, s text);
	UPDATE owner.plain SET s = public.dbcrypt_encrypt('x', } . "$plain)", @owner);
$node->safe_psql('postgres', "SELECT dbcrypt_register_column('owner.plain', 's', \$\$$plain\$\$),
	dbcrypt_register_column('owner.calls', 's', 'owner.f(k)')");
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--no-owner', '--exit-on-error', '-d', 'restored', $dump ], 'restored without owners');
is($node->safe_psql('restored', q{SELECT registered_by, (SELECT rolname FROM pg_class JOIN pg_roles r ON relowner = r.oid WHERE relname = 'plain') FROM dbcrypt_columns WHERE "table" = 'plain'}),
	'owner|postgres', 'the owner is another');
is($node->safe_psql('restored', q{SELECT state, "values" FROM dbcrypt_verify('owner.plain', 's')}), 'primary|1', 'and a plain expression works');
is($node->safe_psql('restored', q{SELECT "table"::text, "values", problem LIKE '%was registered for role owner, but would run as postgres' FROM dbcrypt_verify_all() ORDER BY 1}),
	"owner.calls||t\nowner.plain|1|\nowner.watched|2|", '... and one that calls functions of users is named');
$node->stop;
done_testing();
