# pg_dump and pg_restore carry the keys' and columns' catalogs by name.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2, $k3) = map { key_hex($_) } 1 .. 3;
my $node = new_node('dump_restore', start => 0, keys => [ $k1, $k2 ]);
$node->start;
my $dir = $node->basedir;

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', q{
CREATE SCHEMA "Crypt o";
CREATE EXTENSION dbcrypt SCHEMA "Crypt o";
SET search_path = public, "Crypt o";
SELECT dbcrypt_register_keys();
UPDATE dbcrypt_keys SET comment = 'a "quoted" comment' WHERE key_id = dbcrypt_key_id(dbcrypt_encrypt(''));

CREATE TABLE accounts (gone int, id int PRIMARY KEY, gone_too text, token text, blob bytea);
ALTER TABLE accounts DROP gone, DROP gone_too;
INSERT INTO accounts SELECT i, dbcrypt_encrypt('token ' || i, i::text), dbcrypt_encrypt('blob'::bytea)
	FROM generate_series(1, 500) i;
CREATE SCHEMA "Odd.Schema";
CREATE TABLE "Odd.Schema"."Odd ""Table" (gone int, "A" text, "Odd Column" text, PRIMARY KEY ("A"));
ALTER TABLE "Odd.Schema"."Odd ""Table" DROP gone;
INSERT INTO "Odd.Schema"."Odd ""Table" VALUES ('a', dbcrypt_encrypt('odd', 'a'));
SELECT dbcrypt_rotate('accounts', 'token', 'id::text'), dbcrypt_rotate('accounts', 'blob'),
	dbcrypt_register_column('"Odd.Schema"."Odd ""Table"', 'Odd Column', '"A"');

CREATE TABLE revoked AS SELECT dbcrypt_encrypt('x') AS c LIMIT 0;
});
my $tables = q{SET search_path = public, "Crypt o"; };

# A value under key 2, which is then revoked.
write_key_file(key_file($node), $k2, $k1);
my $under_2 = $node->safe_psql('source', "$tables SELECT dbcrypt_encrypt('old')");
write_key_file(key_file($node), $k1, $k2);
$node->safe_psql('source', "$tables SELECT dbcrypt_revoke_key('${\key_id($k2)}')");

my $catalog = q{SELECT format('%s', k) FROM dbcrypt_keys k UNION ALL
	SELECT format('%s %s %s %s %s', "schema", "table", quote_ident("column"), aad, options) FROM dbcrypt_columns ORDER BY 1};
my $expected = $node->safe_psql('source', "$tables $catalog");
is(scalar(split /\n/, $expected), 5, 'two keys and three columns');

$node->command_ok([ 'pg_dump', '-f', "$dir/plain", 'source' ], 'plain dump');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", 'source' ], 'custom dump');
$node->command_ok([ 'pg_dump', '-Fd', '-j', 2, '-f', "$dir/directory", 'source' ], 'directory dump');
$node->command_ok([ 'pg_dump', '--inserts', '-f', "$dir/inserts", 'source' ], 'dump as inserts');
$node->command_ok([ 'pg_dump', '--data-only', '-f', "$dir/data", 'source' ], 'dump of the data');
$node->command_ok([ 'pg_dump', '--schema-only', '-f', "$dir/schema", 'source' ], 'dump of the schema');

my @stop = ('psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null');
my %restore = (
	plain => [ [ @stop, '-f', "$dir/plain" ] ],
	inserts => [ [ @stop, '-1', '-f', "$dir/inserts" ] ],
	custom => [ [ 'pg_restore', '-e', "$dir/custom" ] ],
	parallel => [ [ 'pg_restore', '-e', '-j', 3, "$dir/directory" ] ],
	twophase => [ [ @stop, '-f', "$dir/schema" ], [ @stop, '-f', "$dir/data" ] ],
	disabled => [
		[ 'pg_restore', '-e', '--schema-only', "$dir/custom" ],
		[ 'pg_restore', '-e', '--data-only', '--disable-triggers', "$dir/custom" ]
	],
);

foreach my $name (sort keys %restore)
{
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->command_ok([ @$_, '-d', $name ], "$name: " . join ' ', @$_[ 0, 1 ])
	  foreach @{ $restore{$name} };

	is($node->safe_psql($name, "$tables $catalog"), $expected, "$name: the catalogs are the same");
	is( $node->safe_psql($name, qq{$tables SELECT count(*) FROM dbcrypt_columns c JOIN pg_attribute a
		ON attrelid = relid AND attrelid = format('%I.%I', "schema", "table")::regclass
		AND attname = "column" AND a.attnum = c.attnum}),
		$name eq 'disabled' ? '0' : '3', "$name: columns have their numbers, or get them from the next writer");
	is( $node->safe_psql($name, qq{$tables SELECT count(dbcrypt_decrypt(token, id::text)), count(dbcrypt_decrypt(blob)) FROM accounts}),
		'500|500', "$name: every value decrypts");
	my ($rc, $out, $err) = $node->psql($name, "$tables SELECT dbcrypt_decrypt('$under_2')");
	like($err, qr/encryption key \Q${\key_id($k2)}\E is revoked/, "$name: a revoked key stays revoked");

	# A session open across a change of the catalog; rename and drop; new key.
	write_key_file(key_file($node), $k3, $k1);
	is( $node->safe_psql($name, qq{$tables
		ALTER TABLE accounts RENAME token TO bearer;
		SELECT string_agg("column", ' ' ORDER BY "column") FROM dbcrypt_columns WHERE "table" = 'accounts'}),
		'bearer blob', "$name: the registry follows a rename");
	$node->safe_psql($name, "$tables SELECT dbcrypt_register_keys()");
	is($node->safe_psql($name, qq{$tables SELECT "table", "column", scanned, rotated, current, nulls FROM dbcrypt_rotate_all() ORDER BY 3, 1, 2}),
		qq{"Odd.Schema"."Odd ""Table"|Odd Column|1|1|0|0\naccounts|bearer|500|500|0|0\naccounts|blob|500|500|0|0},
		"$name: rotate_all rotates");
	is($node->safe_psql($name, qq{$tables ALTER TABLE accounts DROP blob; SELECT count(*) FROM dbcrypt_columns}),
		'2', "$name: the registry follows a drop");
	write_key_file(key_file($node), $k1, $k2);
}
is($node->safe_psql('source', "$tables $catalog"), $expected, 'the source has not changed');

$node->stop;
done_testing();
