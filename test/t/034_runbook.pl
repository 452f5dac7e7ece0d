# The runbook scripts: the way that works, and every doubt that stops them.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key1 = key_id(key_hex(1));
my $key2 = key_id(key_hex(2));
my $key3 = key_id(key_hex(3));
my $node = new_node('runbook', keys => [ key_hex(1) ]);
my $database = 'postgres';

# Runs a script as its head says, with what the operator types; its exit status,
# and output and errors in one.
sub runbook
{
	my ($script, $typed, @variables) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[
			'psql', '-X', '-d', $node->connstr($database), '-v', 'ON_ERROR_STOP=1',
			(map { ('-v', $_) } @variables), '-f', "runbook/$script"
		],
		\$typed, \$out, \$err);
	return ($? >> 8, "$out$err");
}

# Asserts that a script stopped with this message and changed nothing.
sub stops
{
	my ($name, $regexp, $script, $typed, @variables) = @_;
	my $state = "SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM people p
		UNION ALL SELECT string_agg(k::text, ',' ORDER BY key_id) FROM dbcrypt_keys k
		UNION ALL SELECT string_agg(c::text, ',') FROM dbcrypt_columns c";
	my $before = $node->safe_psql('postgres', $state);
	my ($rc, $output) = runbook($script, $typed, @variables);
	is($rc, 3, "$name: psql fails");
	like($output, $regexp, "$name: says why");
	unlike($output, qr/Done/, "$name: is not done");
	is($node->safe_psql('postgres', $state), $before, "$name: nothing was changed");
	return;
}

sub states
{
	return $node->safe_psql('postgres',
		q{SELECT key_id, state, "values" FROM dbcrypt_verify('people', 'secret')});
}

my @column = ('table=people', 'column=secret');
my @bound = (@column, 'aad=id::text');

$node->safe_psql('postgres', q{
	CREATE TABLE people (id int PRIMARY KEY, secret text);
	INSERT INTO people SELECT i, 'secret ' || i FROM generate_series(1, 100) i;
});

# ---- first encryption ----
stops('no column', qr/stopped: no column is named/, 'first_encryption.sql', '', 'table=people');
stops('no table', qr/relation "nobody" does not exist/, 'first_encryption.sql', '', 'table=nobody', 'column=secret', 'yes=1');
stops('no backup', qr/stopped, nothing was changed: no backup/, 'first_encryption.sql', "no\n", @bound);
stops('nobody to ask', qr/could not read value for variable/, 'first_encryption.sql', '', @bound);

my ($rc, $output) = runbook('first_encryption.sql', "yes\n", @bound);
is($rc, 0, 'first encryption') or diag $output;
like($output, qr/CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON public\.people FOR EACH ROW EXECUTE FUNCTION public\.dbcrypt_encrypt_trigger\('secret', 'id::text'\);/,
	'prints the trigger that belongs to it');
is(states(), "$key1|primary|100", 'every value is encrypted');
($rc, $output) = runbook('first_encryption.sql', '', @bound, 'yes=1');
is($rc, 0, 'again, unattended') or diag $output;

$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$node->safe_psql('elsewhere', q{
	CREATE EXTENSION dbcrypt;
	SELECT dbcrypt_register_keys();
	CREATE TABLE elsewhere AS SELECT dbcrypt_encrypt('elsewhere') AS secret});

# ---- what stops a rotation ----
write_key_file(key_file($node), key_hex(2), key_hex(1));
stops('unregistered primary key', qr/key $key2: is the primary key and not registered.*HINT:  Run SELECT \* FROM dbcrypt_register_keys/s,
	'rotate.sql', '', @column, 'yes=1');
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
stops('no such method', qr/method "quick" is none of/, 'rotate.sql', '', @column, 'method=quick', 'yes=1');
stops('no backup of the keys', qr/stopped, nothing was changed: no backup/, 'rotate.sql', "y\n", @column);

write_key_file(key_file($node), key_hex(2));
stops('old key missing', qr/values under key $key1, which is not loaded: 100/, 'rotate.sql', '', @column, 'yes=1');
$node->safe_psql('postgres', q{
	CREATE TABLE copy AS SELECT * FROM people});
stops('old key missing, not registered',
	qr/values under key/, 'rotate.sql', '', 'table=copy', 'column=secret', 'yes=1');
$node->safe_psql('postgres', 'DROP TABLE copy');
write_key_file(key_file($node), key_hex(2), key_hex(1));

$node->safe_psql('postgres', q{UPDATE people SET secret = dbcrypt_encrypt('x', 'another') WHERE id = 7});
$node->safe_psql('postgres', q{
	UPDATE people SET secret = overlay(secret PLACING 'AAAA' FROM 30) WHERE id = 8});
stops('bad value', qr/2\. Dry run.*could not decrypt value: authentication failed/s, 'rotate.sql', '', @column, 'yes=1');
$node->safe_psql('postgres', q{UPDATE people SET secret = 'clear' WHERE id IN (7, 8)});
stops('plaintext', qr/invalid encrypted value/, 'rotate.sql', '', @column, 'yes=1');
$node->safe_psql('postgres', q{UPDATE people SET secret = dbcrypt_encrypt('secret', id::text) WHERE id IN (7, 8)});

chmod 0644, key_file($node) or die;
stops('key file readable by others', qr/key ring: key file ".*" has group or world access/, 'rotate.sql', '', @column, 'yes=1');
chmod 0600, key_file($node) or die;

$node->safe_psql('postgres', q{
	CREATE TABLE other (secret text);
	INSERT INTO other SELECT secret FROM people WHERE id = 1;
	SELECT dbcrypt_register_column('other', 'secret', '''1''')});

# ---- a copy, and what could not be looked at, stop it before the revocation ----
# Asserts that a rotation stopped between its end and the revocation.
sub revokes_nothing
{
	my ($name, $regexp, @variables) = @_;
	my ($status, $printed) = runbook('rotate.sql', '', @column, 'yes=1', @variables);
	is($status, 3, "$name: psql fails");
	like($printed, $regexp, "$name: says why");
	unlike($printed, qr/Done|Take key/, "$name: is not done");
	is($node->safe_psql('postgres', "SELECT retired_at IS NULL AND revoked_at IS NULL FROM dbcrypt_keys WHERE key_id = '$key1'"),
		't', "$name: the key is as it was");
	return;
}
# The check looks at the first rows of a table, the search at all of them.
$node->safe_psql('postgres', q{CREATE TABLE copied AS SELECT * FROM people});
stops('a copy', qr/stopped, nothing was changed: column public\.copied\.secret: holds encrypted values and is not registered/,
	'rotate.sql', '', @column, 'yes=1');
$node->safe_psql('postgres', q{CREATE TABLE late AS SELECT i AS id, 'x' AS secret FROM generate_series(1, 500) i
	UNION ALL SELECT * FROM copied; DROP TABLE copied});
revokes_nothing('a copy behind other rows', qr/stopped, no key was revoked: public\.late\.secret has values under key $key1, and nobody registered it: 98.*HINT:.*accept=public\.late\.secret/s);
is(states(), "$key2|primary|100", 'the column itself is rotated');
$node->safe_psql('postgres', q{DROP TABLE late;
	CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
	CREATE FOREIGN TABLE abroad (secret text) SERVER far});
revokes_nothing('a foreign table', qr/stopped, no key was revoked: not looked at: public\.abroad: .*HINT:.*accept=public\.abroad/s);

# ---- an empty table is not done ----
$node->safe_psql('postgres', 'CREATE TABLE void (id int PRIMARY KEY, secret text)');
foreach my $script ('first_encryption.sql', 'rotate.sql')
{
	($rc, $output) = runbook($script, '', 'table=void', 'column=secret', 'yes=1');
	is($rc, 3, "$script, an empty table: psql fails");
	like($output, qr/stopped: column public\.void\.secret has no value, so nothing was proved/, "$script, an empty table: says so");
	unlike($output, qr/Done/, "$script, an empty table: is not done");
}
$node->safe_psql('postgres', 'DROP TABLE void');

# ---- rotation, while another column, and another database, still need the old key ----
($rc, $output) = runbook('rotate.sql', "yes\n", @column, 'accept=public.abroad');
is($rc, 0, 'rotation') or diag $output;
is(states(), "$key2|primary|100", 'every value is under the new key');
like($output, qr/kept key $key1: it is still in use.*Column public\.other\.secret: 1 values\./s, 'a key in use elsewhere is kept');
unlike($output, qr/Take key/, 'and stays in the key file');
($rc, $output) = runbook('rotate.sql', '', 'table=other', 'column=secret', 'yes=1', 'accept=public.abroad');
is($rc, 0, 'rotation of the other column') or diag $output;
like($output, qr/Revoked key $key1/, 'the old key is revoked');
like($output, qr/Keep key $key1 in the key file: database elsewhere: in use\./, 'and kept for another database');
unlike($output, qr/Take key/, '... by the key file too');
$node->safe_psql('postgres', 'DROP FOREIGN TABLE abroad');
$node->safe_psql('elsewhere', 'DROP TABLE elsewhere');
($rc, $output) = runbook('rotate.sql', '', @column, 'yes=1');
is($rc, 0, 'once more, when no database uses it') or diag $output;
like($output, qr/There is no key to revoke/, 'nothing is left to revoke');
like($output, qr/Take key $key1 out of the key file.*not searched: template0, template1\./, 'the old key is to be removed');
is($node->safe_psql('postgres', "SELECT dbcrypt_decrypt(secret, id::text) FROM people WHERE id = 1"),
	'secret 1', 'values are the same');

# ---- the other methods, once more, and a key for the future ----
write_key_file(key_file($node), key_hex(3), key_hex(2));
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
write_key_file(key_file($node), key_hex(3), key_hex(2), key_hex(4));
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
($rc, $output) = runbook('rotate.sql', '', 'table=other', 'column=secret', 'yes=1', 'method=online');
is($rc, 0, 'online') or diag $output;
# A large object under the old key stops it, and is passed over by its catalog's name.
$node->safe_psql('postgres', q{SELECT lo_from_bytea(4711, convert_to(secret, 'UTF8')) FROM people WHERE id = 1});
($rc, $output) = runbook('rotate.sql', '', @column, 'yes=1', 'method=online');
is($rc, 3, 'a large object: psql fails');
like($output, qr/stopped, no key was revoked: pg_largeobject has values under key $key2, and nobody registered it: 1.*HINT:.*accept=pg_largeobject/s,
	'a large object: says why');
is($node->safe_psql('postgres', "SELECT retired_at IS NULL AND revoked_at IS NULL FROM dbcrypt_keys WHERE key_id = '$key2'"),
	't', 'a large object: the key is as it was');
($rc, $output) = runbook('rotate.sql', '', @column, 'yes=1', 'method=online', 'accept=pg_largeobject');
is($rc, 0, 'online, the last column, and the large object passed over') or diag $output;
is(states(), "$key3|primary|100", 'every value is under the new key');
like($output, qr/Revoked key $key2/, 'the old key is revoked');
like($output, qr/kept key ${\key_id(key_hex(4))}: it was registered after the primary key/,
	'a newer key is kept');

$node->safe_psql('postgres', 'SELECT lo_unlink(4711)');

# ---- an application that goes on under the old key ----
# A rotation cannot see it; the verification after it does.
$node->safe_psql('postgres', "SELECT dbcrypt_reinstate_key('$key2')");
$node->safe_psql('postgres', q{
	CREATE FUNCTION write_old() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW."column" = 'secret' THEN
			UPDATE public.other SET secret = (SELECT secret FROM public.kept);
		END IF;
		RETURN NULL; END $$;
	CREATE TABLE kept (secret text);
});
write_key_file(key_file($node), key_hex(2), key_hex(3));
$node->safe_psql('postgres', q{INSERT INTO kept VALUES (dbcrypt_encrypt('late', '1'));
	SELECT dbcrypt_register_column('kept', 'secret', '''1''')});
write_key_file(key_file($node), key_hex(3), key_hex(2));
$node->safe_psql('postgres', q{
	SELECT dbcrypt_unregister_column('other', 'secret');
	CREATE TRIGGER write_old AFTER INSERT ON dbcrypt_columns FOR EACH ROW EXECUTE FUNCTION write_old()});
($rc, $output) = runbook('rotate.sql', '', 'table=other', 'column=secret', q{aad='1'}, 'yes=1');
is($rc, 3, 'a value that came under the old key meanwhile stops the script');
like($output, qr/stopped: 1 values are under an old key though the rotation is complete/, 'and is counted');
unlike($output, qr/Revoked key/, 'and nothing is revoked');

# ---- what others have created is never called ----
# In "own" the extension has a schema of its own, in "public" it is where an
# intruder adds functions that an inexact call would prefer. The intruder's schema comes
# first in search_path. Every trap counts its calls, which no rollback undoes.
my $traps = q{
SET search_path = pg_catalog;
SET check_function_bodies = off;
CREATE SEQUENCE public.trapped;
DO $do$
DECLARE
	body text := ' LANGUAGE plpgsql AS $$BEGIN PERFORM pg_catalog.nextval(''public.trapped''); RETURN%s; END$$';
	types text[] := '{int4,int8,float8,text,name,bool,oid,regclass,timestamptz,interval}';
	f record;
	l text;
	r text;
	o text;
BEGIN
	-- Functions as in pg_catalog, and the extension's own where it is elsewhere.
	FOR f IN SELECT proname, pg_get_function_identity_arguments(oid) AS args,
			pg_get_function_result(oid) AS result, proretset
		  FROM pg_proc
		 WHERE prokind = 'f' AND provariadic = 0 AND pronamespace <> 'public'::regnamespace
		   AND (pronamespace <> 'pg_catalog'::regnamespace OR proname IN ('set_config', 'current_setting',
				'clock_timestamp', 'date_trunc', 'pg_size_pretty', 'pg_table_size', 'pg_is_in_recovery',
				'quote_ident', 'quote_literal', 'string_to_array', 'pg_partition_ancestors', 'current_database'))
		   AND (proname LIKE 'dbcrypt%' OR pronamespace = 'pg_catalog'::regnamespace)
		   AND NOT proargtypes::oid[] && ARRAY['internal'::regtype::oid, '"any"'::regtype, 'anynonarray'::regtype, 'anyelement'::regtype]
		   AND prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
	LOOP
		EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s', f.proname, f.args, f.result) ||
			format(body, CASE WHEN f.proretset OR f.result = 'void' OR f.result = 'record' OR f.args LIKE '%OUT %' THEN '' ELSE ' NULL' END);
	END LOOP;
	-- Functions that an inexact call finds first, wherever the extension is.
	FOREACH l IN ARRAY '{dbcrypt_verify(text\, text),dbcrypt_verify(text\, name),dbcrypt_census(),dbcrypt_census(text),
			dbcrypt_rotate(regclass\, name\, text),dbcrypt_rotate(text\, text\, text\, bool),
			dbcrypt_encrypt_column(regclass\, name\, text),dbcrypt_encrypt_column(text\, text\, text\, bool),dbcrypt_databases(name)}'::text[]
	LOOP
		EXECUTE 'CREATE FUNCTION public.' || l || ' RETURNS TABLE (key_id text, state text, "values" bigint)' || format(body, '');
	END LOOP;
	FOREACH l IN ARRAY '{dbcrypt_rotate_online(regclass\, name\, text),dbcrypt_rotate_in_place(regclass\, name\, text),
			dbcrypt_revoke_keys(text[]),dbcrypt_revoke_keys(text[]\, text\, text[])}'::text[]
	LOOP
		EXECUTE 'CREATE PROCEDURE public.' || l || format(body, '');
	END LOOP;
	FOREACH l IN ARRAY types LOOP
		FOREACH r IN ARRAY types LOOP
			EXECUTE format('CREATE FUNCTION public.compare(%s, %s) RETURNS bool', l, r) || format(body, ' true');
			EXECUTE format('CREATE FUNCTION public.combine(%s, %s) RETURNS %1$s', l, r) || format(body, ' NULL');
			FOREACH o IN ARRAY '{=,<>,<,<=,>,>=}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.compare, LEFTARG = %s, RIGHTARG = %s)', o, l, r);
			END LOOP;
			FOREACH o IN ARRAY '{+,-,*,||}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.combine, LEFTARG = %s, RIGHTARG = %s)', o, l, r);
			END LOOP;
		END LOOP;
	END LOOP;
END $do$;
};
foreach my $case ([ own => '"Its Own"' ], [ public => 'public' ])
{
	my ($name, $schema) = @$case;
	$database = "traps_$name";
	write_key_file(key_file($node), key_hex(1));
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, qq{
		CREATE SCHEMA IF NOT EXISTS $schema;
		CREATE EXTENSION dbcrypt SCHEMA $schema;
		SELECT $schema.dbcrypt_register_keys();
		CREATE TABLE public.people (id int PRIMARY KEY, secret text);
		INSERT INTO public.people SELECT i, 'secret ' || i FROM generate_series(1, 100) i;
		$traps
		ALTER DATABASE $database SET search_path = public, pg_catalog});
	my $called = "SELECT is_called FROM public.trapped";
	$node->safe_psql($database, q{SELECT 2 * interval '1 s', clock_timestamp()});
	is($node->safe_psql($database, $called), 't', "$name: traps are laid");
	$node->safe_psql($database, 'ALTER SEQUENCE public.trapped RESTART');

	($rc, $output) = runbook('first_encryption.sql', "yes\n", @bound);
	is($rc, 0, "$name: first encryption") or diag $output;
	my ($new, $old) = (2, 1);
	foreach my $method ('transaction', 'online', 'in_place')
	{
		write_key_file(key_file($node), key_hex($new), key_hex($old));
		$node->safe_psql($database, "SELECT $schema.dbcrypt_register_keys()");
		($rc, $output) = runbook('rotate.sql', "yes\n", @column, "method=$method");
		is($rc, 0, "$name: rotation, $method") or diag $output;
		like($output, qr/Revoked key ${\key_id(key_hex($old))}/, "$name, $method: the old key is revoked");
		is( $node->safe_psql($database, qq{SET search_path = pg_catalog;
			SELECT key_id, state, "values" FROM $schema.dbcrypt_verify('public.people'::regclass, 'secret'::name)}),
			key_id(key_hex($new)) . '|primary|100', "$name, $method: and no value is under it");
		($new, $old) = ($new + 1, $new);
	}
	$node->safe_psql($database, 'CREATE TABLE public.copied AS SELECT * FROM public.people');
	($rc, $output) = runbook('rotate.sql', '', @column, 'yes=1');
	is($rc, 3, "$name: a copy stops it");
	like($output, qr/column public\.copied\.secret: holds encrypted values/, "$name: no trap fakes the check");
	is($node->safe_psql($database, $called), 'f', "$name: no trap was called");
}

$node->stop;
done_testing();
