# Revocation of the old key while another session rotates online and applications go
# on writing: it refuses until no value uses the key, and afterwards none ever does.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($new, $old) = map { key_hex($_) } 1 .. 2;
my $old_id = key_id($old);
my $node = new_node('online_revoke', keys => [ $new, $old ]);
my $tries = 1000;

$node->safe_psql('postgres', qq{
CREATE TABLE secrets (id serial, v text, writer text);
SET dbcrypt.key_file = '';
SET dbcrypt.keys = '$old';
INSERT INTO secrets (v, writer) SELECT dbcrypt_encrypt('secret ' || i), 'before' FROM generate_series(1, 2000) i;
-- What a client may have kept from before. Reversed, or revocation would find it.
CREATE TABLE kept AS SELECT reverse(dbcrypt_encrypt('kept')) AS envelope;
SELECT dbcrypt_register_column('secrets', 'v');
CREATE TRIGGER seal BEFORE INSERT OR UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v');
-- The writers' errors, and whether they should go on. Unlogged by them in their own time.
CREATE TABLE errors (writer text, message text);
CREATE TABLE writing (on_or_off bool);
INSERT INTO writing VALUES (true);
});

# Starts an application that writes until it is told to stop, counting its errors.
sub start_writer
{
	my ($name, $insert, $settings) = @_;
	my $session = new_session($node);
	$session->query_safe($settings) if $settings;
	$session->query_until(qr/started/, qq{\\echo started
DO \$\$
BEGIN
	WHILE (SELECT on_or_off FROM writing) LOOP
		BEGIN
			$insert;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO errors VALUES ('$name', sqlerrm);
		END;
		COMMIT;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END \$\$;
});
	return $session;
}

sub errors_of
{
	my ($writer) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM errors WHERE writer = '$writer'");
}

my $keys_old = "SET dbcrypt.key_file = ''; SET dbcrypt.keys = '$old'";
my %writer = (
	'current' => start_writer('current', q{INSERT INTO secrets (v, writer) VALUES ('plaintext', 'current')}),
	'old key' => start_writer('old key', q{INSERT INTO secrets (v, writer) VALUES (dbcrypt_encrypt('x'), 'old key')}, $keys_old),
	'old key in trigger' => start_writer('old key in trigger', q{INSERT INTO secrets (v, writer) VALUES ('plaintext', 'old key in trigger')}, $keys_old),
	'kept' => start_writer('kept', q{INSERT INTO secrets (v, writer) SELECT reverse(envelope), 'kept' FROM kept}));

$node->poll_query_until('postgres', q{SELECT count(DISTINCT writer) = 5 FROM secrets}) or die 'a writer does not write';
is($node->safe_psql('postgres', 'SELECT count(*) FROM errors'), '0', 'all writers write');

### a rotation that waits for one row: the key is still in use there

my $holder = new_session($node);
$holder->query_safe('BEGIN');
$holder->query_safe('SELECT id FROM secrets WHERE id = 7 FOR UPDATE');
my $rotator = new_session($node);
start_sql($rotator, "CALL dbcrypt_rotate_online('secrets', 'v')");
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CALL dbcrypt%' AND wait_event_type = 'Lock'})
  or die 'the rotation does not wait';
like(psql_error($node, "SELECT dbcrypt_revoke_key('$old_id')"),
	qr/ERROR:  encryption key $old_id is still in use\nDETAIL:  Table public.secrets, column v: /,
	'revocation refuses during an online rotation');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL dbcrypt%' AND state = 'active'}),
	'1', '... which goes on');
$holder->query_safe('ROLLBACK');
finish_sql($rotator);
$rotator->quit;

### until it is safe

my ($refused, $unfinished, $done) = (0, 0, 0);
for my $try (1 .. $tries)
{
	# Both in one session: the writers under the old key leave little time between.
	my ($rc, $out, $err) = $node->psql('postgres',
		"CALL dbcrypt_rotate_online('secrets', 'v');\nCALL dbcrypt_revoke_keys(ARRAY['$old_id']);\nSELECT 'revoked';", on_error_stop => 0);
	$unfinished++ if $err =~ /is still being written under another key/;
	$refused++ if $err =~ /is still in use/;
	unlike($err, qr/ERROR:  (?!encryption key $old_id is still in use|column "v" of table "secrets" is still being written)/,
		'no other error') or last
	  if $err =~ /ERROR/ && $err !~ /still/;
	$done = $err !~ /still in use/ && $out =~ /revoked/;
	last if $done;
}
ok($done, "revoked in the end: $refused times it refused, $unfinished times the rotation gave up");

### afterwards the writers run on

foreach my $name ('old key', 'old key in trigger', 'kept')
{
	my $before = errors_of($name);
	$node->poll_query_until('postgres', "SELECT count(*) >= $before + 3 FROM errors WHERE writer = '$name'")
	  or die "writer \"$name\" has no errors";
}
is( $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT writer || ': ' || message, E'\n' ORDER BY writer || ': ' || message) FROM (SELECT writer COLLATE "C", message FROM errors WHERE message NOT LIKE '%is retired') AS x}),
	join("\n", map { "$_: encryption key $old_id is revoked" } 'kept', 'old key in trigger', 'old key'),
	'writers under the old key are refused, and for no other reason');
is(errors_of('current'), '0', 'the writer under the new key never was');
$node->safe_psql('postgres', 'UPDATE writing SET on_or_off = false');
$_->quit foreach values %writer;
is($node->safe_psql('postgres', "SELECT count(*) FROM secrets WHERE dbcrypt_key_id(v) = '$old_id'"),
	'0', 'no value under the revoked key exists');
is($node->safe_psql('postgres', q{SELECT count(*) FROM secrets WHERE writer = 'before' AND dbcrypt_decrypt(v) = 'secret ' || id}),
	'2000', 'nothing was lost');
decrypt_all_ok($node, 'secrets', 'v');
is($node->safe_psql('postgres', q{SELECT state FROM dbcrypt_verify('secrets', 'v')}), 'primary', 'and dbcrypt_verify agrees');
$node->stop;
done_testing();
