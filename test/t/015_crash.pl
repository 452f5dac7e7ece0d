# kill -9 of every server process at random moments of a rotation: after recovery
# nothing is lost, and each rotation has happened as a whole or not at all.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'needs /proc' unless -d "/proc/$$";

my $rounds = soak() ? 200 : 20;
my $hits = $rounds / 4; # so many kills at least must meet a rotation
my $rows = soak() ? 50_000 : 10_000;
my $seed = $ENV{DBCRYPT_SEED} // time() * 1000 % 2**31;
srand $seed;
note "DBCRYPT_SEED=$seed";

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $node = new_node('crash', conf => "max_wal_size = 32MB\nmin_wal_size = 32MB\n");
$node->safe_psql('postgres', qq{
CREATE TABLE tokens (id int PRIMARY KEY, other int, token text, blob bytea);
CREATE INDEX ON tokens (other);
INSERT INTO tokens SELECT i, i % 10, dbcrypt_encrypt('token ' || i, i::text),
	CASE WHEN i % 100 = 0 THEN dbcrypt_encrypt(convert_to(repeat(md5(i::text), 200), 'UTF8')) END
	FROM generate_series(1, $rows) i;
SELECT dbcrypt_register_column('tokens', 'token', 'id::text'), dbcrypt_register_column('tokens', 'blob');
});

# Key id and counts, as one line; every value must open to what was put in.
sub state_of_values
{
	return $node->safe_psql('postgres', q{
SELECT string_agg(DISTINCT dbcrypt_key_id(token), ' '), string_agg(DISTINCT dbcrypt_key_id(blob), ' '),
	count(*), count(*) FILTER (WHERE dbcrypt_decrypt(token, id::text) = 'token ' || id),
	count(blob), count(*) FILTER (WHERE dbcrypt_decrypt(blob) = convert_to(repeat(md5(id::text), 200), 'UTF8'))
FROM tokens});
}

my $counts = join '|', $rows, $rows, $rows / 100, $rows / 100;
my ($current, $next) = ($k1, $k2);
is(state_of_values(), join('|', key_id($current), key_id($current), $counts), 'before');

# The moments fall into the time that a rotation takes. This one may have been slower
# than the next, beside other work: each kill that comes too late makes it shorter.
my $rotate = 'SELECT sum(scanned), sum(rotated) FROM dbcrypt_rotate_all()';
write_key_file(key_file($node), $next, $current);
my $started = time();
is($node->safe_psql('postgres', $rotate), join('|', 2 * $rows, $rows + $rows / 100), 'a whole rotation');
my $longest = 1.1 * (time() - $started);
my $window = $longest;
($current, $next) = ($next, $current);

my %outcome = (done => 0, undone => 0);
for (my $round = 1; $round <= $rounds || $outcome{undone} < $hits; $round++)
{
	die "only $outcome{undone} of $round kills met a rotation" if $round > 5 * $rounds;
	write_key_file(key_file($node), $next, $current);
	my ($out, $err) = ('', '');
	my $session = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT 'connected'}, '-c', $rotate ],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$session->pump until $out =~ s/^connected\n// || !$session->pumpable;
	my $moment = rand($window);
	sleep $moment;
	kill_server($node);
	eval { $session->finish };

	$node->start;
	my ($key) = split /\|/, state_of_values();
	my $done = $key eq key_id($next);
	$outcome{$done ? 'done' : 'undone'}++;
	$window = $done ? 0.8 * $window : min($longest, 1.2 * $window);
	($current, $next) = ($next, $current) if $done;
	is( state_of_values(),
		join('|', key_id($current), key_id($current), $counts),
		sprintf 'round %d, killed after %.3f s: all values decrypt, all under the %s key',
		$round, $moment, $done ? 'new' : 'old');
	is($done || $out eq '' ? 1 : 0, 1, 'what was reported as done is done');
}
note "done $outcome{done}, undone $outcome{undone}";

write_key_file(key_file($node), $next, $current);
is($node->safe_psql('postgres', $rotate), join('|', 2 * $rows, $rows + $rows / 100), 'one more rotation');
is(state_of_values(), join('|', key_id($next), key_id($next), $counts), 'all under the new key');
is($node->safe_psql('postgres', "SELECT dbcrypt_revoke_key('${\key_id($current)}')"), '', 'the old key can go');
$node->stop;
done_testing();
