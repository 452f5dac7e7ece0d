# Where keys are in the memory of a server's process: raw keys, and what is derived from
# them, lie in locked memory alone, which no core dump holds, and are nowhere when the
# session ends, whatever ended it.
#
# dbcrypt forbids looking: for this test a small library takes that back (088_key_memory.c).
use strict;
use warnings FATAL => 'all';
no warnings 'portable'; # addresses of 64 bits

use DbcryptTest;
use Digest::SHA qw(hmac_sha256);
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

plan skip_all => 'no /proc with smaps' unless -r '/proc/self/smaps';
my $dir = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/look.so";
plan skip_all => 'no compiler for the library that lets this test look'
  if system("cc -shared -fPIC -o '$library' '$FindBin::RealBin/088_key_memory.c' -ldl 2>'$dir/errors'") != 0;

my @keys = map { secret_key("memory $_") } 1 .. 2;

# HKDF-SHA256(key, no salt, info) of 32 bytes: the key of native envelopes.
sub derived
{
	my ($hex) = @_;
	my $prk = hmac_sha256(pack('H*', $hex), "\0" x 32);
	return hmac_sha256("dbcrypt/1/aes-256-gcm\x01", $prk);
}

my %secret;
foreach my $i (0, 1)
{
	my %spelling = key_spellings($keys[$i]);
	$secret{"key $i, $_"} = $spelling{$_} foreach keys %spelling;
	$secret{"key $i, derived"} = derived($keys[$i]);
}

# The mappings of a process: start, size, and the kernel's flags.
sub mappings
{
	my ($pid) = @_;
	my @all;
	foreach my $line (split /\n/, slurp_file("/proc/$pid/smaps"))
	{
		if ($line =~ /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)/)
		{
			push @all, { start => hex $1, size => hex($2) - hex($1), mode => $3, name => $4 };
		}
		$all[-1]->{flags} = $1 if $line =~ /^VmFlags: (.*)/;
	}
	return @all;
}

# Each secret that a process holds: its name, and "locked" or where it lies else.
sub secrets_in
{
	my ($pid) = @_;
	my @found;
	open my $memory, '<:raw', "/proc/$pid/mem" or die "/proc/$pid/mem: $!";
	foreach my $mapping (mappings($pid))
	{
		next if $mapping->{mode} !~ /^r/ || $mapping->{name} =~ /^\[v/;
		my $bytes = '';
		sysseek $memory, $mapping->{start}, 0 or next;
		while (length $bytes < $mapping->{size})
		{
			last unless sysread $memory, $bytes, $mapping->{size} - length $bytes, length $bytes;
		}
		my $locked = ($mapping->{flags} // '') =~ /\blo\b/ && $mapping->{flags} =~ /\bdd\b/;
		foreach my $name (sort keys %secret)
		{
			push @found, "$name: " . ($locked ? 'locked' : "$mapping->{name} $mapping->{flags}")
			  if index($bytes, $secret{$name}) >= 0;
		}
	}
	my %seen;
	return grep { !$seen{$_}++ } sort @found;
}

my $node = new_node('key_memory', keys => \@keys, start => 0, conf => "shared_buffers = 1MB\nlog_disconnections = on\n");
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{STOP_AT_EXIT} = $dir;
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION dbcrypt; SELECT dbcrypt_register_keys()');
my $old = $node->safe_psql('postgres', "SET dbcrypt.key_file = ''; SET dbcrypt.keys = '$keys[1]'; SELECT dbcrypt_encrypt('x')");

# A session that has used both keys: encrypted under one, decrypted under the other.
sub keyed_session
{
	my $session = new_session($node);
	is((run_sql($session, "SELECT dbcrypt_decrypt(dbcrypt_encrypt('x')) || dbcrypt_decrypt('$old')"))[0], 'xx', 'both keys are used');
	my ($pid) = run_sql($session, 'SELECT pg_backend_pid()');
	return ($session, $pid);
}

# What a session that uses intel-ipsec-mb holds. OpenSSL's contexts are on the heap.
my ($session, $pid) = keyed_session();
my $ipsec_mb = slurp_file("/proc/$pid/maps") =~ /libIPSec_MB/;
my @everywhere = sort map { ("key $_, raw: locked", "key $_, derived: locked") } 0, 1;
if ($ipsec_mb)
{
	is_deeply([ secrets_in($pid) ], \@everywhere, 'keys are in locked memory alone');
}
else
{
	is_deeply([ grep { /raw|hex|HEX|base64/ } secrets_in($pid) ], [ grep { /raw/ } @everywhere ], 'raw keys are in locked memory alone');
}

# After errors, in SQL and of key sources.
run_sql($session, "SELECT dbcrypt_decrypt(dbcrypt_encrypt('x', 'a'), 'b')");
run_sql($session, "DO \$\$ BEGIN PERFORM dbcrypt_encrypt('x'); RAISE 'over'; END \$\$");
write_key_file(key_file($node), @keys, 'nonsense');
like((run_sql($session, "SELECT dbcrypt_encrypt('x')"))[1], qr/invalid key in dbcrypt\.key_file/, 'a key file with an error');
is_deeply([ grep { !/locked$/ } grep { $ipsec_mb || !/derived/ } secrets_in($pid) ], [], '... leaves nothing elsewhere');
write_key_file(key_file($node), $keys[0]);
run_sql($session, "SELECT dbcrypt_encrypt('x')");
is_deeply([ grep { /key 1/ } secrets_in($pid) ], [], 'a key that was taken out of the file is gone');
write_key_file(key_file($node), @keys);
run_sql($session, "SELECT dbcrypt_decrypt('$old')");
cmp_ok(scalar(grep { /key 1/ } secrets_in($pid)), '>', 0, '... and back');

SKIP:
{
	skip 'gcore is not installed', 1 if system('gcore -h >/dev/null 2>&1') == 127 << 8;
	skip 'OpenSSL keeps expanded keys on the heap', 1 unless $ipsec_mb;
	system("gcore -o '$dir/core' $pid >'$dir/gcore' 2>&1");
	skip 'gcore may not look here', 1 unless -s "$dir/core.$pid";
	my $core = slurp_file("$dir/core.$pid");
	cmp_ok(index($core, 'dbcrypt.key_file'), '>=', 0, 'a core dump of the process');
	is_deeply([ grep { index($core, $secret{$_}) >= 0 } sort keys %secret ], [], '... holds no key');
}
$session->quit;

# Each way to end. The process stops when it has cleaned up.
sub wait_for_stop
{
	my ($victim) = @_;
	my $deadline = Time::HiRes::time() + $PostgreSQL::Test::Utils::timeout_default;
	while (Time::HiRes::time() < $deadline)
	{
		return 1 if slurp_file("/proc/$victim/stat") =~ /\) T /;
		Time::HiRes::sleep(0.01);
	}
	return 0;
}

my %end = (
	"at its client's end" => sub { my ($ended) = @_; $ended->{stdin} .= "\\q\n"; $ended->{run}->pump_nb },
	'by pg_terminate_backend' => sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($_[1])") },
	'in the middle of a statement' => sub {
		my ($ended, $victim) = @_;
		start_sql($ended, "SELECT dbcrypt_encrypt('x'), pg_sleep(600)");
		$node->poll_query_until('postgres', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $victim");
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($victim)");
	},
	'by a FATAL error' => sub { start_sql($_[0], q{SET idle_session_timeout = '1ms'}) });
foreach my $how (sort keys %end)
{
	my ($ended, $victim) = keyed_session();
	cmp_ok(scalar(secrets_in($victim)), '>', 0, "$how: keys are there before");
	append_to_file("$dir/$victim", '');
	$end{$how}->($ended, $victim);
	ok(wait_for_stop($victim), "$how: the process has cleaned up");
	is_deeply([ grep { $ipsec_mb || !/derived/ } secrets_in($victim) ], [], "$how: no key is left");
	kill 'CONT', $victim;
	eval { $ended->quit };
}
$node->stop;
done_testing();
