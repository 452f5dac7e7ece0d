# The Ruby gems Lockbox and attr_encrypted write values, dbcrypt rotates them, and
# the gems read every one with the new keys alone.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'ruby-lockbox, ruby-attr-encrypted or ruby-pg is not installed'
  if system(q{ruby -rstringio -e 'require "lockbox"; require "attr_encrypted"; require "pg"' >/dev/null 2>&1});

my ($old, $new) = map { secret_key("lockbox $_") } 1 .. 2;
# One of GitLab's usual length, and one with a character of two bytes, padded.
my $old_base = secret_key('gitlab old') . secret_key('gitlab old');
my $new_base = "gitlab n\xc3\xa9w";

my $node = new_node('ruby', keys => [ $old, "text:$old_base" ]);
$node->safe_psql('postgres', q{
	CREATE TABLE users (id int PRIMARY KEY, email_ciphertext text, photo_ciphertext bytea, bound_ciphertext text);
	CREATE TABLE hooks (id int PRIMARY KEY, encrypted_url text, encrypted_url_iv text, encrypted_token bytea, encrypted_token_iv bytea);
	CREATE TABLE runners (id int PRIMARY KEY, token_encrypted text UNIQUE);
	CREATE TABLE plain AS SELECT i AS id, CASE WHEN i = 9 THEN '' WHEN i = 10 THEN repeat('lång', 4000) WHEN i = 11 THEN E'line\nline' ELSE repeat('värde ' || i, i % 7 + 1) END AS value
		FROM generate_series(1, 100) i;
});

sub gems
{
	my ($action, $master_key, $base) = @_;
	my ($out, $err) = run_command([ 'ruby', '-W0', "$FindBin::RealBin/../clients/gems.rb", $action,
		$node->connstr('postgres'), $master_key, $base ]);
	is($err, '', "the gems $action");
	return $out;
}
gems('write', $old, $old_base);
is(gems('check', $old, $old_base), 598, 'and read what they wrote');
# A model leaves the empty string as it is.
$node->safe_psql('postgres', q{INSERT INTO users VALUES (1000, '', '', ''), (1001, NULL, NULL, NULL)});

$node->safe_psql('postgres', q{
	SELECT dbcrypt_adopt('users', 'email_ciphertext', 'lockbox');
	SELECT dbcrypt_adopt('users', 'photo_ciphertext', 'lockbox');
	SELECT dbcrypt_adopt('users', 'bound_ciphertext', 'lockbox', '{"aad": "id"}');
});
# Each system's key is primary for its own columns: Lockbox's first.
write_key_file(key_file($node), $new, $old, "text:$old_base");
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
is($node->safe_psql('postgres', 'SELECT DISTINCT scanned, rotated, current, nulls FROM dbcrypt_rotate_all()'), '102|100|1|1', 'Lockbox columns are rotated');

# GitLab's, then.
write_key_file(key_file($node), "text-short:$new_base", "text:$old_base", $new);
$node->safe_psql('postgres', q{
	SELECT dbcrypt_register_keys();
	SELECT dbcrypt_adopt('hooks', 'encrypted_url', 'attr_encrypted');
	SELECT dbcrypt_adopt('hooks', 'encrypted_token', 'attr_encrypted');
	SELECT dbcrypt_adopt('runners', 'token_encrypted', 'gitlab_token');
});
my $rotated = join("\n", map { $node->safe_psql('postgres', "SELECT * FROM dbcrypt_rotate($_)") }
	"'hooks', 'encrypted_url'", "'hooks', 'encrypted_token'", "'runners', 'token_encrypted'");
is($rotated, "100|99|1|0\n100|99|1|0\n98|98|0|0", "GitLab's columns are rotated");

write_key_file(key_file($node), "text-short:$new_base", $new);
is($node->safe_psql('postgres', "SELECT dbcrypt_revoke_key(id) FROM unnest(ARRAY['" . key_id($old) . "', '"
	. key_id(unpack 'H*', substr $old_base, 0, 32) . "']) id"), "\n", 'the old keys are revoked');
is(gems('check', $new, $new_base), 598, 'every value, with the new keys alone');
my $log = slurp_file($node->logfile);
is(index($log, $new_base), -1, 'no db_key_base in the log');
$node->stop;

done_testing();
