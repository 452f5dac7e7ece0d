# An error that is raised while values are written, by a constraint, a generated column
# or an index, shows its SQLSTATE, the place and the function, and never a value: not in
# its message, detail, hint, constraint's name or context, for the caller or in the log.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $needle = 'pa55phrase-of-somebody';
my $node = new_node('errors_without_values', conf => "log_error_verbosity = verbose\n");

# Each of these functions lets plaintext pass while test.attack is off.
$node->safe_psql('postgres', qq{
CREATE FUNCTION armed() RETURNS bool STABLE LANGUAGE sql
	AS \$\$SELECT coalesce(current_setting('test.attack', true), 'off') = 'on'\$\$;
CREATE FUNCTION raises(v text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$\$BEGIN
	IF public.armed() THEN RAISE EXCEPTION 'found %', v USING DETAIL = v, HINT = v, ERRCODE = 'AB123'; END IF;
	RETURN true;
END\$\$;
CREATE FUNCTION names(v text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$\$BEGIN
	IF public.armed() THEN RAISE EXCEPTION 'x' USING CONSTRAINT = v, COLUMN = v, ERRCODE = '23514'; END IF;
	RETURN true;
END\$\$;
CREATE FUNCTION runs(v text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$\$BEGIN
	IF public.armed() THEN EXECUTE format('SELECT %L::text, 1/0', v); END IF;
	RETURN true;
END\$\$;
-- 18 plans it for the value: what is stable keeps the cast from being tried then.
CREATE FUNCTION casts(v text) RETURNS bool IMMUTABLE LANGUAGE sql
	AS \$\$SELECT CASE WHEN public.armed() THEN ('{"a": ' || v || left(current_setting('port'), 0) || '}')::json IS NOT NULL
		ELSE true END\$\$;
CREATE FUNCTION to_number(v text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$\$BEGIN
	RETURN NOT public.armed() OR v::int > 0;
END\$\$;
CREATE FUNCTION waits(v text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$\$BEGIN
	IF public.armed() THEN EXECUTE format('SELECT pg_advisory_lock(1), %L', v); END IF;
	RETURN true;
END\$\$;
});

my %state = (raises => 'AB123', names => '23514', runs => '22012', casts => '22P02', to_number => '22P02');

# All that a caller is shown, and what the log has of it.
sub attack
{
	my ($call, $name) = @_;
	my $offset = -s $node->logfile;
	my ($rc, $out, $err) = $node->psql('postgres', "SET test.attack = on;\n\\set VERBOSITY verbose\n\\set SHOW_CONTEXT always\n$call");
	isnt($rc, 0, "$name: an error");
	# The statement itself is logged with it, and has no value.
	my $log = slurp_file($node->logfile, $offset);
	unlike($err, qr/\Q$needle\E/, "$name: no value is shown");
	unlike($log, qr/\Q$needle\E/, "$name: no value is logged");
	return $err;
}

foreach my $how (sort keys %state)
{
	# A constraint sees plaintext when a column is decrypted or taken into encryption
	# beside another one.
	$node->safe_psql('postgres', qq{
		CREATE TABLE victim (id int PRIMARY KEY, secret text, other text);
		INSERT INTO victim VALUES (1, dbcrypt_encrypt('$needle', '1'), '$needle');
		SELECT dbcrypt_register_column('victim', 'secret', 'id');
	});
	my $decrypt = "SET dbcrypt.decrypt_keys = '" . key_id(key_hex(1)) . "';\nSELECT dbcrypt_decrypt_column('victim', 'secret')";
	my $rotate = "SET dbcrypt.keys = '" . secret_key('new') . "'; SELECT dbcrypt_register_keys();\nSELECT dbcrypt_rotate('victim', 'secret')";

	$node->safe_psql('postgres', "ALTER TABLE victim ADD CONSTRAINT guard CHECK ($how(secret))");
	my $err = attack($decrypt, "$how in a CHECK, decrypting");
	like($err, qr/ERROR:  $state{$how}:/, '... with its SQLSTATE');
	like($err, qr/Table public\.victim, row \(0,1\)/, '... and its place');
	like($err, qr/function $how|function public\.$how/, '... and the function') unless $how eq 'casts';
	attack("$decrypt \\g\n", "$how, again");

	$node->safe_psql('postgres', "ALTER TABLE victim DROP CONSTRAINT guard, ADD CONSTRAINT guard CHECK ($how(other))");
	foreach my $call ($rotate, $rotate =~ s/SELECT dbcrypt_rotate\(/CALL dbcrypt_rotate_online(/r, "SELECT dbcrypt_delete_column('victim', 'secret', 'public.victim.secret')")
	{
		like(attack($call, "$how in a CHECK on another column, $1"), qr/$state{$how}/, '... with its SQLSTATE')
		  if $call =~ /(dbcrypt_(?:rotate_online|rotate|delete_column))\('victim/;
	}

	$node->safe_psql('postgres', "ALTER TABLE victim DROP CONSTRAINT guard; CREATE INDEX guard ON victim (($how(secret)))");
	$err = attack($decrypt, "$how in an index");
	like($err, qr/ERROR:  $state{$how}:/, '... with its SQLSTATE');
	like($err, qr/Table public\.victim/, '... and its place');
	$node->safe_psql('postgres', 'DROP TABLE victim');
}

### a message of a process that ends, or that waits, has a context too

$node->safe_psql('postgres', qq{
	ALTER SYSTEM SET log_lock_waits = on;
	ALTER SYSTEM SET deadlock_timeout = '10ms';
	SELECT pg_reload_conf();
	CREATE TABLE victim (id int PRIMARY KEY, secret text CONSTRAINT guard CHECK (waits(secret)));
	INSERT INTO victim VALUES (1, dbcrypt_encrypt('$needle', '1'));
	SELECT dbcrypt_register_column('victim', 'secret', 'id');
});
my $holder = new_session($node);
run_sql($holder, 'SELECT pg_advisory_lock(1)');
my $offset = -s $node->logfile;
my $session = new_session($node);
run_sql($session, "SET test.attack = on; SET dbcrypt.decrypt_keys = '${\key_id(key_hex(1))}'");
my $pid = (run_sql($session, 'SELECT pg_backend_pid()'))[0];
start_sql($session, q{SELECT dbcrypt_decrypt_column('victim', 'secret')});
$node->wait_for_log(qr/process $pid still waiting/, $offset);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$node->wait_for_log(qr/FATAL: .*terminating connection/, $offset);
unlike(slurp_file($node->logfile, $offset), qr/\Q$needle\E/,
	'no value in the log of a session that waits, and of one that is ended, within a constraint');
$holder->quit;

### what a server says of itself is still said

$node->safe_psql('postgres', 'ALTER TABLE victim DROP CONSTRAINT guard, ADD CONSTRAINT guard CHECK (length(secret) > 40)');
my $err = psql_error($node, "SET dbcrypt.decrypt_keys = '${\key_id(key_hex(1))}'; SELECT dbcrypt_decrypt_column('victim', 'secret')");
like($err, qr/the new row violates constraint "guard"/, "a constraint's name is shown");
unlike($err, qr/\Q$needle\E/, '... and no value');
$node->safe_psql('postgres', 'ALTER TABLE victim DROP CONSTRAINT guard, ADD CONSTRAINT guard CHECK (pg_sleep(600) IS NOT NULL) NOT VALID');
like( psql_error($node, "SET dbcrypt.decrypt_keys = '${\key_id(key_hex(1))}'; SET statement_timeout = '200ms';"
		  . "SELECT dbcrypt_decrypt_column('victim', 'secret')"),
	qr/canceling statement due to statement timeout/, 'a cancel says so');
$node->stop;
done_testing();
