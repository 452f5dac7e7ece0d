# AES-256-CBC as attr_encrypted writes it, with a salt: text and raw bytes there and back
# by the gem; what rotation costs beside the derivations that the scheme demands.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'ruby-attr-encrypted or ruby-pg is not installed'
  if system(q{ruby -e 'require "attr_encrypted"; require "pg"' >/dev/null 2>&1});
plan skip_all => 'there is no /proc to read processor time from' unless -f "/proc/$$/schedstat";

# Each value costs a millisecond for every key that is derived.
my $values = soak() ? 10_000 : 1_000;
my ($old, $new) = map { secret_key("cbc $_") x 2 } 'old', 'new';
my $node = new_node('cbc', keys => ["text:$old"]);
$node->safe_psql('postgres', qq{
	CREATE TABLE vars (id int PRIMARY KEY, encrypted_value text, encrypted_value_iv text, encrypted_value_salt text);
	CREATE TABLE raw_vars (id int PRIMARY KEY, encrypted_value bytea, encrypted_value_iv bytea, encrypted_value_salt bytea);
	INSERT INTO vars SELECT generate_series(1, $values);
	INSERT INTO raw_vars SELECT generate_series(1, 20)});

is(gitlab_gems($node, 'postgres', 'write', $old), $values + 20, 'values are written');
is($node->safe_psql('postgres', 'SELECT "table", scheme, state FROM dbcrypt_adopt_gitlab()'),
	"raw_vars|attr_encrypted_cbc|adopted\nvars|attr_encrypted_cbc|adopted", 'and adopted');

write_key_file(key_file($node), "text:$new", "text:$old");
my $session = new_session($node);
run_sql($session, 'SELECT dbcrypt_register_keys()');
my $pid = $session->query_safe('SELECT pg_backend_pid()');

# Nanoseconds that the server's process has run.
sub cpu
{
	my ($ran) = slurp_file("/proc/$pid/schedstat") =~ /^(\d+)/;
	return $ran;
}

# One wrong value, the last: nothing changes.
$node->safe_psql('postgres', "CREATE TABLE before AS TABLE vars; UPDATE vars SET encrypted_value_salt = 'x' WHERE id = $values");
my ($out, $err) = run_sql($session, q{SELECT * FROM dbcrypt_rotate('vars', 'encrypted_value')});
like($err, qr/ERROR:  could not decrypt value: the column's key does not open it\nDETAIL:  Table "public.vars", column "encrypted_value", row \(\d+,\d+\)/,
	'a wrong value is named');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (TABLE vars INTERSECT TABLE before) x'), $values - 1, '... and no other has changed');
$node->safe_psql('postgres', "UPDATE vars SET encrypted_value_salt = b.encrypted_value_salt FROM before b WHERE b.id = vars.id AND vars.id = $values");

# The derivations alone, by the same library.
my $derivations = 2 * $values;
my ($alone) = run_command([ 'ruby', '-ropenssl', '-e', qq{
	cpu = -> { Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID, :nanosecond) }
	begun = cpu.call
	$derivations.times { OpenSSL::PKCS5.pbkdf2_hmac_sha1("$old", "0123456789abcdef", 2000, 32) }
	puts cpu.call - begun} ]);
my $begun = cpu();
($out, $err) = run_sql($session, q{SELECT * FROM dbcrypt_rotate('vars', 'encrypted_value')});
my $ratio = (cpu() - $begun) / $alone;
is($out, "$values|$values|0|0", 'rotated');
note(sprintf '%d values: %.2f s of processor time, %.3f of the %d derivations alone', $values, $alone * $ratio / 1e9, $ratio, $derivations);
# What is measured on a busy machine is 10 % off at times.
cmp_ok($ratio, '<', 1.25, 'the rotation costs little more than the derivations');

like((run_sql($session, q{SELECT * FROM dbcrypt_rotate('raw_vars', 'encrypted_value')}))[1], qr/keep => 'schema.table'/, 'bytes are kept');
is((run_sql($session, q{SELECT * FROM dbcrypt_rotate('raw_vars', 'encrypted_value', keep => 'public.kept')}))[0], '20|20|0|0', '... and rotated');
$session->quit;
$node->safe_psql('postgres', 'DROP TABLE before, kept');
is(gitlab_gems($node, 'postgres', 'check', $new), $values + 20, 'the gem reads every value with the new key alone');

# A node of the application that still has the old key.
$node->safe_psql('postgres', 'CREATE SCHEMA saved; CREATE TABLE saved.rotated AS TABLE raw_vars; DELETE FROM vars WHERE id > 20');
gitlab_gems($node, 'postgres', 'write', $old);
$node->safe_psql('postgres', 'UPDATE raw_vars r SET (encrypted_value, encrypted_value_iv, encrypted_value_salt) = (o.encrypted_value, o.encrypted_value_iv, o.encrypted_value_salt)
	FROM saved.rotated o WHERE o.id = r.id');
is($node->safe_psql('postgres', q{SELECT state, "values" FROM dbcrypt_verify('vars', 'encrypted_value')}), 'failed|20', 'what it wrote is counted');
is($node->safe_psql('postgres', q{SELECT DISTINCT state FROM dbcrypt_verify('raw_vars', 'encrypted_value')}), 'primary, unauthenticated', '... and nothing else');
$node->stop;

done_testing();
