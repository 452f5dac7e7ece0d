# Values that are not what they say: a forged header, another value spelt as a GitLab
# token, two keys of one Coder digest.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use Digest::SHA qw(sha256_hex);
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my ($new, $old) = map { secret_key($_) } 'new', 'old';
my $node = new_node('lying_values', keys => [ $old, $new ]);

### a forged header that names a key which is registered and not loaded

$node->safe_psql('postgres', q{
CREATE TABLE t (id int PRIMARY KEY, secret text, note text);
CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'id');
INSERT INTO t VALUES (1, 'one');
});
my $forged = encode_base64(pack('H*', '75b73501' . key_id($old) . '00') . 'x' x 40, '');
write_key_file(key_file($node), $new);
like(psql_error($node, "INSERT INTO t VALUES (2, '$forged')"),
	qr/ERROR:  encryption key ${\key_id($old)} is not loaded/, 'the trigger refuses a forged header');
$node->safe_psql('postgres', q{UPDATE t SET note = 'x'});
is($node->safe_psql('postgres', 'SELECT note FROM t'), 'x', 'a value that an UPDATE leaves needs no key');
write_key_file(key_file($node), $old, $new);
like(psql_error($node, "INSERT INTO t VALUES (2, '$forged')"), qr/authentication failed/, '... with the key too');

### a value of somebody else's, spelt as a token: its nonce would tell of the plaintext

$node->safe_psql('postgres', q{
CREATE TABLE victim (id int, v text, v_key_id text);
SELECT dbcrypt_adopt('victim', 'v', 'coder');
INSERT INTO victim VALUES (1, 'a secret of somebody else');
SELECT dbcrypt_encrypt_column('victim', 'v');
CREATE ROLE thief LOGIN;
GRANT EXECUTE ON FUNCTION dbcrypt_adopt(regclass, name, text, jsonb), dbcrypt_rotate(regclass, name, text, boolean, text) TO thief;
CREATE TABLE loot (v text, tokens text);
ALTER TABLE loot OWNER TO thief;
});
my $blob = decode_base64($node->safe_psql('postgres', 'SELECT v FROM victim'));
my $spelt = '|' . encode_base64(substr($blob, 12), '');
my @thief = (extra_params => [ '-U', 'thief' ]);
like(psql_error($node, q{SELECT dbcrypt_adopt('loot', 'tokens', 'gitlab_token')}, @thief),
	qr/ERROR:  permission denied to adopt column "tokens" of table "loot"/, 'a role that may not decrypt adopts nothing');

my $nonce = 'not hexadeci';
$node->safe_psql('postgres', q{SELECT dbcrypt_adopt('loot', 'tokens', 'gitlab_token')});
$node->safe_psql('postgres', qq{INSERT INTO loot (tokens) VALUES ('$spelt' || '$nonce')});
my $err = psql_error($node, q{SELECT dbcrypt_rotate('loot', 'tokens')}, @thief);
like($err, qr/ERROR:  invalid encrypted value/, 'a token whose nonce is not hex is none');

### two keys with one Coder digest

my @twins = qw(74e1ede153ee370576a3c8aa86b1142193f9108913f44cf0ae0e8fd5b0a4b94e
  b26b2db438a7d4efcc5c090790e26442d3e6bed4cfb1893888023c2d4b1e46f8);
is(substr(sha256_hex('aes256gcm' . pack 'H*', $twins[0]), 0, 7), substr(sha256_hex('aes256gcm' . pack 'H*', $twins[1]), 0, 7),
	'two keys with one digest');
write_key_file(key_file($node), $twins[0], $old);
$node->safe_psql('postgres', q{SELECT dbcrypt_register_keys(); SELECT dbcrypt_rotate('victim', 'v')});
write_key_file(key_file($node), @twins, $old);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
my $refused = qr/ERROR:  two loaded keys have the same Coder digest/;
like(psql_error($node, q{SELECT dbcrypt_rotate('victim', 'v')}), $refused, 'no rotation');
like(psql_error($node, q{CALL dbcrypt_rotate_online('victim', 'v')}), $refused, 'nor online');
like(psql_error($node, q{SELECT dbcrypt_unregister_column('victim', 'v'); SELECT dbcrypt_adopt('victim', 'v', 'coder')}),
	$refused, 'nor adoption');
write_key_file(key_file($node), $twins[1], $old);
like(psql_error($node, q{SELECT dbcrypt_adopt('victim', 'v', 'coder')}), qr/does not decrypt/, 'the other key alone opens nothing');
write_key_file(key_file($node), $twins[0], $old);
is($node->safe_psql('postgres', q{SELECT dbcrypt_adopt('victim', 'v', 'coder'); SELECT state FROM dbcrypt_verify('victim', 'v')}), "(1,f)\nprimary",
	'nothing was changed');
$node->stop;
done_testing();
