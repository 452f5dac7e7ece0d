# Dumps of a part of a database, and restores into a database that is not empty: what
# was registered and is there is registered; what is missing is a finding.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $node = new_node('dump_parts', start => 0, keys => [ $k1, $k2 ]);
$node->start;
my $dir = $node->basedir;

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', q{
CREATE EXTENSION dbcrypt;
SELECT dbcrypt_register_keys();
CREATE SCHEMA one;
CREATE SCHEMA two;
CREATE TABLE one.t (id int PRIMARY KEY, v text);
CREATE TABLE two.t (id int PRIMARY KEY REFERENCES one.t, gone int, v bytea);
ALTER TABLE two.t DROP gone;
CREATE TABLE public.t (v text, id int);
INSERT INTO one.t SELECT i, dbcrypt_encrypt('one ' || i, i::text) FROM generate_series(1, 50) i;
INSERT INTO two.t SELECT i, dbcrypt_encrypt('two'::bytea) FROM generate_series(1, 50) i;
INSERT INTO public.t SELECT dbcrypt_encrypt('three'), i FROM generate_series(1, 50) i;
SELECT dbcrypt_register_column('one.t', 'v', 'id::text'), dbcrypt_register_column('two.t', 'v'),
	dbcrypt_register_column('public.t', 'v');
});

my $all = "one|t|v|id::text\npublic|t|v|\ntwo|t|v|";
my $registry = 'SELECT "schema", "table", "column", aad FROM dbcrypt_columns ORDER BY 1';
my $verified = q{SELECT "table", state, sum("values") FROM dbcrypt_verify_all() GROUP BY 1, 2 ORDER BY "table"::text};
my $every = "one.t|primary|50\nt|primary|50\ntwo.t|primary|50";
my $problems = q{SELECT finding FROM dbcrypt_check() WHERE subject LIKE 'registered column%' ORDER BY 1};
my $bound = q{SELECT count(*) FROM dbcrypt_columns c JOIN pg_attribute a ON a.attrelid = c.relid AND a.attnum = c.attnum
	WHERE c.relid = format('%I.%I', "schema", "table")::regclass AND attname = "column"};
is($node->safe_psql('source', $registry), $all, 'three columns');

# Dumps with the options and restores into a new database what the options let through.
sub restored
{
	my ($name, @options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->command_ok([ 'pg_dump', '-Fc', @options, '-f', "$dir/$name", 'source' ], "$name: pg_dump @options");
	return;
}

### without one table

restored('without', '-T', 'one.t');
$node->command_fails([ 'pg_restore', '-d', 'without', "$dir/without" ], 'without: the foreign key cannot be made');
is($node->safe_psql('without', $registry), $all, 'without: every registration is there');
is($node->safe_psql('without', $problems), 'column "v" of table "one.t" does not exist', 'without: the missing table is a finding');
is($node->safe_psql('without', $verified), "t|primary|50\ntwo.t|primary|50\n|not readable|", 'without: the others verify');
write_key_file(key_file($node), $k2, $k1);
is($node->safe_psql('without', q{SELECT "table", rotated, problem FROM dbcrypt_rotate_all() ORDER BY "table"::text}),
	qq{t|50|\ntwo.t|50|\n||column "v" of table "one.t" does not exist}, 'without: the others rotate');
like(psql_error($node, "SELECT dbcrypt_revoke_key('${\key_id($k1)}')", database => 'without'),
	qr/column "v" of table "one.t" does not exist/, 'without: nothing is revoked while a table is missing');
is($node->safe_psql('without', q{CREATE TABLE one.t (v text, id int); } . $problems), '', 'without: the table comes back');
write_key_file(key_file($node), $k1, $k2);

### one schema

restored('schema_only', '-n', 'two', '-e', 'dbcrypt');
$node->command_fails([ 'pg_restore', '-d', 'schema_only', "$dir/schema_only" ], 'schema: the foreign key cannot be made');
is($node->safe_psql('schema_only', $registry), $all, 'schema: -n with -e brings the registry');
is($node->safe_psql('schema_only', $verified), "two.t|primary|50\n|not readable|", 'schema: its column verifies');
is( $node->safe_psql('schema_only', q{DELETE FROM dbcrypt_columns WHERE to_regclass(format('%I.%I', "schema", "table")) IS NULL; }
		  . $problems), '', 'schema: what is not here is deleted from the registry');

### data into tables that are there, one of them registered

restored('data', '--schema-only');
$node->command_ok([ 'pg_restore', '-d', 'data', "$dir/data" ], 'data: the tables');
$node->safe_psql('data', q{SELECT dbcrypt_register_column('one.t', 'v', 'id::text'), dbcrypt_register_column('two.t', 'v', 'id::text')});
$node->command_ok([ 'pg_dump', '--data-only', '-f', "$dir/data.sql", 'source' ], 'data: pg_dump --data-only');
my ($rc, $out, $err) = $node->psql('data', '', extra_params => [ '-v', 'ON_ERROR_STOP=1', '-f', "$dir/data.sql" ]);
is($rc, 0, 'data: a registration that is there stops nothing');
like($err, qr/WARNING:  column "v" of table "two.t" is registered with another scheme, AAD or options/, 'data: another AAD warns');
is($node->safe_psql('data', $registry), $all =~ s/two\|t\|v\|/two|t|v|id::text/r, 'data: and is kept');
is($node->safe_psql('data', $bound), 3, 'data: the columns are known by number');

### over itself

$node->command_ok([ 'pg_dump', '--clean', '--if-exists', '-f', "$dir/clean.sql", 'source' ], 'clean: pg_dump --clean');
$node->safe_psql('source', q{ALTER TABLE public.t ADD later int});
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', "$dir/clean.sql", '-d', 'source' ], 'clean: restored');
is($node->safe_psql('source', $registry), $all, 'clean: the registry is the same');
is($node->safe_psql('source', $bound), 3, 'clean: and knows the new tables');
is($node->safe_psql('source', $verified), $every, 'clean: every value opens');

### in parallel, into a database that has the extension, a key and other columns

$node->safe_psql('postgres', 'CREATE DATABASE busy');
$node->safe_psql('busy', q{CREATE EXTENSION dbcrypt; CREATE TABLE public.other (v text);
	SELECT dbcrypt_register_column('public.other', 'v');});
$node->command_ok([ 'pg_dump', '-Fd', '-j', 2, '-f', "$dir/directory", 'source' ], 'busy: pg_dump -j');
$node->command_ok([ 'pg_restore', '-e', '-j', 4, '-d', 'busy', "$dir/directory" ], 'busy: pg_restore -j');
is($node->safe_psql('busy', $bound), 4, 'busy: all columns are registered');
is($node->safe_psql('busy', $verified), $every, 'busy: every value opens');

### a copy of the database: the hint of the original counts for nothing

$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE source');
$node->safe_psql('copied', 'DROP TABLE two.t; CREATE TABLE two.t (v text);');
is($node->safe_psql('copied', $problems), '', 'copied: no finding');
is( $node->safe_psql('copied', q{ALTER TABLE one.t RENAME TO u; ALTER SCHEMA one RENAME TO uno; ALTER TABLE t RENAME v TO w; }
		  . $registry), "public|t|w|\nuno|u|v|id::text", 'copied: DDL is followed');
is($node->safe_psql('copied', $bound), 2, 'copied: and binds them here');

### into databases that know the keys: none comes back into use unsaid

# A dump of three active keys, and one in which they are retired and revoked.
my ($i1, $i2, $i3) = map { key_id(key_hex($_)) } 1 .. 3;
my $states = q{SELECT string_agg(CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN retired_at IS NOT NULL
	THEN 'retired' ELSE 'active' END, ' ' ORDER BY array_position('} . "{$i1,$i2,$i3}" . q{', key_id)) FROM dbcrypt_keys};
my $change = qq{UPDATE dbcrypt_keys SET retired_at = now() WHERE key_id IN ('$i2', '$i3');
	UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '$i2'};
write_key_file(key_file($node), $k1, $k2, key_hex(3));
foreach my $name ('active', 'strict')
{
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, qq{CREATE EXTENSION dbcrypt; SELECT dbcrypt_register_keys();
		CREATE TABLE loaded (id int, v text); INSERT INTO loaded VALUES (1, dbcrypt_encrypt('x'));
		SELECT dbcrypt_register_column('loaded', 'v')});
	$node->safe_psql($name, $change) if $name eq 'strict';
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/$name", $name ], "$name: pg_dump");
}
is($node->safe_psql('strict', $states), 'active revoked retired', 'the states of one');

# Restores a dump into a database that has the extension and keys in these states, and
# the table if only data is restored; what pg_restore printed.
sub restored_beside
{
	my ($name, $dump, $strict, @options) = @_;
	my ($printed, $errors) = ('', '');
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION dbcrypt; SELECT dbcrypt_register_keys();' . ($strict ? $change : ''));
	$node->safe_psql($name, 'CREATE TABLE loaded (id int, v text)') if "@options" =~ /data-only/;
	IPC::Run::run([ 'pg_restore', @options, '-d', $node->connstr($name), "$dir/$dump" ], '>', \$printed, '2>', \$errors);
	return ($?, $errors);
}

my $kept = 'active revoked retired';
foreach my $how ([ 'whole', '-e' ], [ 'data', '-e', '--data-only' ])
{
	my ($what, @options) = @$how;
	($rc, $err) = restored_beside("${what}_keeps", 'active', 1, @options);
	is("$rc $err", '0 ', "$what: restores");
	is($node->safe_psql("${what}_keeps", $states), $kept, "$what: keys stay retired and revoked");
	($rc, $err) = restored_beside("${what}_takes", 'strict', 0, @options);
	is("$rc $err", '0 ', "$what: restores where the keys were active");
	is($node->safe_psql("${what}_takes", $states), $kept, "$what: and retires and revokes them");
	is($node->safe_psql("${what}_takes", 'SELECT dbcrypt_decrypt(v) FROM loaded'), 'x', "$what: values open");
}

# Without its trigger the catalog refuses a key that it has; the rest is restored.
($rc, $err) = restored_beside('disabled', 'active', 1, '--data-only', '--disable-triggers');
isnt($rc, 0, 'disabled: pg_restore fails');
like($err, qr/duplicate key value violates unique constraint "dbcrypt_keys_pkey"/, 'disabled: at the keys that are there');
is($node->safe_psql('disabled', $states), $kept, 'disabled: which stay retired and revoked');
is($node->safe_psql('disabled', 'SELECT dbcrypt_decrypt(v) FROM loaded'), 'x', 'disabled: values are there');
like($node->safe_psql('disabled', 'SELECT finding FROM dbcrypt_check()'), qr/it is not ENABLE ALWAYS/, 'disabled: the check finds the triggers');
# So leave the catalogs out, or restore them alone before.
($rc, $err) = restored_beside('twice', 'active', 1, '--data-only', '--disable-triggers', '-t', 'loaded');
is("$rc $err", '0 ', 'disabled, one table: restores');
is($node->safe_psql('twice', $states), $kept, 'disabled, one table: keys stay retired and revoked');

# --clean makes the catalog anew, with the states of the dump, and says so (pg_restore
# shows warnings with -v). Without the extension in the list, the catalog stays.
($rc, $err) = restored_beside('cleaned', 'active', 1, '--clean', '--if-exists', '-v');
is($rc, 0, 'clean: restores') or diag $err;
is($node->safe_psql('cleaned', $states), 'active active active', 'clean: the states are those of the dump');
like($err, qr/WARNING:  dropping dbcrypt forgets which encryption keys are retired or revoked\nDETAIL:  Keys: .*$i2 \(revoked\)/, 'clean: and a warning names the keys');
like(slurp_file($node->logfile), qr/WARNING:  dropping dbcrypt forgets/, 'clean: the log has it too');
append_to_file("$dir/list", join '', grep { !/ EXTENSION / } `pg_restore -l $dir/active`);
($rc, $err) = restored_beside('listed', 'active', 1, '-e', '--clean', '--if-exists', '-L', "$dir/list");
is("$rc $err", '0 ', 'clean, without the extension: restores');
is($node->safe_psql('listed', $states), $kept, 'clean, without the extension: keys stay retired and revoked');
is($node->safe_psql('listed', 'SELECT count(*) FROM dbcrypt_columns'), '1', 'clean, without the extension: the column is registered');
($rc, $err) = restored_beside('cleaned_strict', 'strict', 0, '--clean', '--if-exists');
is($rc, 0, 'clean: restores a dump with revoked keys') or diag $err;
unlike($err, qr/WARNING/, 'clean: nothing is forgotten');
is($node->safe_psql('cleaned_strict', $states), $kept, 'clean: which stay revoked');

$node->stop;
done_testing();
