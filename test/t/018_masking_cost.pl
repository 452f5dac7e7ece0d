# Masking costs time in proportion to the text, whatever it is made of: no role holds
# up a backend with one long statement. Measured is the backend's CPU time, of a
# text and of one four times as long: quadratic would be sixteen times.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use POSIX qw(sysconf _SC_CLK_TCK);
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no /proc' unless -r '/proc/self/stat';

my $node = new_node(
	'masking_cost',
	conf => q{
shared_preload_libraries = 'dbcrypt'
log_min_messages = warning
log_statement = none
});
$node->safe_psql('postgres', 'CREATE ROLE intruder LOGIN');

my $session = new_session($node);
$session->query_safe(q{SELECT dbcrypt_encrypt('x')});    # a ring is loaded
$session->query_safe('SET ROLE intruder');
my $pid = $session->query_safe('SELECT pg_backend_pid()');

# Seconds of CPU that the backend has used.
sub cpu
{
	my $stat = slurp_file("/proc/$pid/stat");
	$stat =~ s/.*\) //s;
	my @fields = split / /, $stat;
	return ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
}

# The best of two tries, since other work on the machine disturbs caches.
sub cost
{
	my ($sql) = @_;
	my $best;
	for (1 .. 2)
	{
		my $before = cpu();
		run_sql($session, $sql);
		my $used = cpu() - $before;
		$best = $used if !defined $best || $used < $best;
	}
	return $best;
}

my $mb = 1024 * 1024;
my %pieces = (
	'blanks' => ' ',
	'quotes' => q{''},
	'double quotes' => q{"},
	'hex digits' => 'a1',
	'base64' => 'Ab+/',
	'text:' => 'text:',
	'comments' => '/**/',
	'open comments' => '/*',
	'prefixes' => 'dbcrypt',
	'prefixes and blanks' => 'dbcrypt' . ' ' x 100,
	'names of nothing' => 'dbcrypt.x ');
foreach my $name (sort keys %pieces)
{
	my $piece = $pieces{$name};
	my $statement = sub { "SET application_name = '" . ($piece x ($_[0] * $mb / length $piece)) . "'" };
	my ($small, $large) = (cost($statement->(2.5)), cost($statement->(10)));
	cmp_ok($large, '<', 8 * $small + 0.3, "$name: growth is linear ($small s, $large s)");
	cmp_ok($large, '<', 1, "$name: 10 MB in less than 0.1 s per MB");

	# An error's record holds the statement, and goes through the log hook.
	my $broken = $statement->(10) . ' nonsense';
	cmp_ok(cost($broken), '<', 2, "$name: the log too");
}

# Many statements in one query, each of which names a setting.
my $many = sub { join ';', ("SET LOCAL dbcrypt.decrypt_keys = ''") x $_[0] };
$session->query_safe('RESET ROLE');
my ($few, $more) = (cost($many->(5000)), cost($many->(20000)));
cmp_ok($more, '<', 8 * $few + 0.3, "many statements: growth is linear ($few s, $more s)");

# A statement beyond the limit is not searched, and not logged.
my $marker = 'seen_in_the_log';
run_sql($session, "SELECT '" . ('x' x (17 * $mb)) . "', $marker");
my $log = slurp_file($node->logfile);
like($log, qr/column "$marker" does not exist/, 'the error of a very long statement is logged');
unlike($log, qr/STATEMENT:  SELECT 'xxx/, '... without the statement');

$session->quit;
$node->stop;
done_testing();
