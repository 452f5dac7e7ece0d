# A streaming standby decrypts and encrypts with its own key file, refuses to
# rotate, and learns of revocations.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2, $k3) = map { key_hex($_) } 1 .. 3;
my $primary = new_node('primary', allows_streaming => 1, keys => [ $k2, $k1 ]);
$primary->safe_psql('postgres', q{
CREATE TABLE tokens (id int PRIMARY KEY, token text);
INSERT INTO tokens SELECT i, dbcrypt_encrypt('token ' || i, i::text) FROM generate_series(1, 100) i;
CREATE TABLE forgotten AS SELECT dbcrypt_encrypt('forgotten') AS token;
SELECT dbcrypt_register_column('tokens', 'token', 'id::text');
});
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "dbcrypt.key_file = '" . key_file($standby) . "'");
write_key_file(key_file($standby), $k1, $k2);
$standby->start;
$primary->wait_for_catchup($standby);

is(decrypt_all_ok($standby, 'tokens', 'token', 'id::text'), 100, 'the standby has the values');
is( $standby->safe_psql('postgres', q{SELECT dbcrypt_key_id(dbcrypt_encrypt('x')), dbcrypt_decrypt(dbcrypt_encrypt('x'))}),
	key_id($k1) . '|x', "the standby encrypts under its own file's primary key");
is( $standby->safe_psql('postgres', q{SELECT count(*) FROM dbcrypt_key_status WHERE is_loaded AND is_registered AND canary_ok}),
	'2', 'dbcrypt_key_status');

foreach my $call (
	q{dbcrypt_rotate('tokens', 'token')}, q{dbcrypt_rotate('tokens', 'token', dry_run => true)},
	q{dbcrypt_rotate_all()})
{
	like(psql_error($standby, "SELECT $call"), qr/ERROR:  cannot execute dbcrypt_rotate during recovery/,
		"$call is refused");
}
foreach my $call (
	q{dbcrypt_register_column('forgotten', 'token')}, q{dbcrypt_unregister_column('tokens', 'token')},
	"dbcrypt_revoke_key('${\key_id($k2)}')", "dbcrypt_reinstate_key('${\key_id($k2)}')")
{
	like(psql_error($standby, "SELECT $call"), qr/ERROR:  cannot .* (?:recovery|in a read-only transaction)/,
		"$call is refused");
}
write_key_file(key_file($standby), $k3, $k1, $k2);
like(psql_error($standby, 'SELECT dbcrypt_register_keys()'), qr/ERROR:  cannot execute INSERT in a read-only/,
	'registering is refused');
like(psql_error($standby, q{SELECT dbcrypt_encrypt('x')}), qr/encryption key \Q${\key_id($k3)}\E is not registered/,
	'a key that the primary server has not registered does not encrypt');

# Sessions that stay open while the primary server changes the catalog.
my $session = new_session($standby);
my $encrypt = q{SELECT dbcrypt_key_id(dbcrypt_encrypt('x'))};
like((run_sql($session, $encrypt))[1], qr/is not registered/, 'an open session');
write_key_file(key_file($primary), $k3, $k1, $k2);
$primary->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
$primary->wait_for_catchup($standby);
is((run_sql($session, $encrypt))[0], key_id($k3), '... sees a registration');

my $read = 'SELECT dbcrypt_decrypt(token) FROM forgotten';
is((run_sql($session, $read))[0], 'forgotten', 'a value under a key that is to be revoked');
run_sql($session, 'BEGIN');
is((run_sql($session, $read))[0], 'forgotten', '... in a transaction');
is($primary->safe_psql('postgres', q{SELECT dbcrypt_rotate('tokens', 'token')}), '(100,100,0,0)', 'a rotation');
# By hand, as a value under it remains.
$primary->safe_psql('postgres', "UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '${\key_id($k2)}'");
$primary->wait_for_catchup($standby);
like((run_sql($session, $read))[1], qr/encryption key \Q${\key_id($k2)}\E is revoked/,
	'an open transaction sees the revocation after replay');
run_sql($session, 'ROLLBACK');
is(decrypt_all_ok($standby, 'tokens', 'token', 'id::text'), 100, 'rotated values decrypt on the standby');
$primary->safe_psql('postgres', "SELECT dbcrypt_reinstate_key('${\key_id($k2)}')");
$primary->wait_for_catchup($standby);
is((run_sql($session, $read))[0], 'forgotten', 'and the reinstatement');

write_key_file(key_file($standby), $k1, $k2);
like((run_sql($session, 'SELECT count(dbcrypt_decrypt(token, id::text)) FROM tokens'))[1],
	qr/encryption key \Q${\key_id($k3)}\E is not loaded/, 'a standby without the new key says so');

$standby->promote;
write_key_file(key_file($standby), $k1, $k2, $k3);
is((run_sql($session, q{SELECT dbcrypt_rotate('tokens', 'token')}))[0], '(100,100,0,0)', 'it rotates after promotion');
is(decrypt_all_ok($standby, 'tokens', 'token', 'id::text'), 100, '... every value');
$session->quit;
$standby->stop;
$primary->stop;
done_testing();
