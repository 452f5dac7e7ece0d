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

# Runs a script as its head says, with what the operator types; its exit status,
# and output and errors in one.
sub runbook
{
	my ($script, $typed, @variables) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[
			'psql', '-X', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1',
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
like($output, qr/CREATE TRIGGER dbcrypt_encrypt BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger\('secret', 'id::text'\);/,
	'prints the trigger that belongs to it');
is(states(), "$key1|primary|100", 'every value is encrypted');
($rc, $output) = runbook('first_encryption.sql', '', @bound, 'yes=1');
is($rc, 0, 'again, unattended') or diag $output;

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
	qr/values under key|encryption key $key1 is not loaded/, 'rotate.sql', '', 'table=copy', 'column=secret', 'yes=1');
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
	INSERT INTO other SELECT secret FROM people LIMIT 1;
	SELECT dbcrypt_register_column('other', 'secret', '''1''')});

# ---- rotation, while another column still needs the old key ----
($rc, $output) = runbook('rotate.sql', "yes\n", @column);
is($rc, 0, 'rotation') or diag $output;
is(states(), "$key2|primary|100", 'every value is under the new key');
like($output, qr/kept key $key1: it is still in use.*Table "public\.other"/s, 'a key in use elsewhere is kept');
unlike($output, qr/Take key/, 'and stays in the key file');
($rc, $output) = runbook('rotate.sql', '', 'table=other', 'column=secret', 'yes=1');
is($rc, 0, 'rotation of the other column') or diag $output;
like($output, qr/revoked key $key1/, 'the old key is revoked');
like($output, qr/Take key $key1 out of the key file/, 'and is to be removed');
is($node->safe_psql('postgres', "SELECT dbcrypt_decrypt(secret, id::text) FROM people WHERE id = 1"),
	'secret 1', 'values are the same');

# ---- the other methods, once more, and a key for the future ----
write_key_file(key_file($node), key_hex(3), key_hex(2));
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
write_key_file(key_file($node), key_hex(3), key_hex(2), key_hex(4));
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
($rc, $output) = runbook('rotate.sql', '', 'table=other', 'column=secret', 'yes=1', 'method=online');
is($rc, 0, 'online') or diag $output;
($rc, $output) = runbook('rotate.sql', '', @column, 'yes=1', 'method=online');
is($rc, 0, 'online, the last column') or diag $output;
is(states(), "$key3|primary|100", 'every value is under the new key');
like($output, qr/revoked key $key2/, 'the old key is revoked');
like($output, qr/kept key ${\key_id(key_hex(4))}: it was registered after the primary key/,
	'a newer key is kept');

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
$node->safe_psql('postgres', q{INSERT INTO kept VALUES (dbcrypt_encrypt('late', '1'))});
write_key_file(key_file($node), key_hex(3), key_hex(2));
$node->safe_psql('postgres', q{
	SELECT dbcrypt_unregister_column('other', 'secret');
	CREATE TRIGGER write_old AFTER INSERT ON dbcrypt_columns FOR EACH ROW EXECUTE FUNCTION write_old()});
($rc, $output) = runbook('rotate.sql', '', 'table=other', 'column=secret', q{aad='1'}, 'yes=1');
is($rc, 3, 'a value that came under the old key meanwhile stops the script');
like($output, qr/stopped: 1 values are under an old key though the rotation is complete/, 'and is counted');
unlike($output, qr/revoked key/, 'and nothing is revoked');

$node->stop;
done_testing();
