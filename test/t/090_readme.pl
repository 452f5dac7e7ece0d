# README's "First steps" do what they show: its SQL blocks run as they stand, the
# key rotation between them included. Its "Install" needs a machine of its own, so
# test/harness/bare_inside runs that; here, only that it would find the block.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($install) = slurp_file('README.md') =~ /^## Install\n(.*?)^## /ms;
my @commands = $install =~ /^```\n(.*?)^```$/msg;
is(scalar @commands, 1, 'README has one block that installs');
unlike($commands[0], qr{postgresql[/-]\d|/\d\d/|^sudo }m, '... for every version, and for root');

my ($steps) = slurp_file('README.md') =~ /^## First steps\n(.*?)^## /ms;
my @blocks = $steps =~ /^```sql\n(.*?)^```$/msg;
is(scalar @blocks, 6, 'README has six blocks');

# The extension as "Install" makes it.
my ($create) = $commands[0] =~ /(CREATE SCHEMA [^"]*)"/;
my ($extension) = $commands[0] =~ /(CREATE EXTENSION [^"]*)"/;
my ($path) = $commands[0] =~ /(ALTER DATABASE [^"]*)"/;
my $node = new_node('readme', start => 0, keys => [ key_hex(1) ]);
$node->start;
$node->safe_psql('postgres', $_) foreach $create, $extension, $path;
my @output;
for my $i (0 .. $#blocks)
{
	write_key_file(key_file($node), key_hex(2), key_hex(1)) if $blocks[$i] =~ /dry_run/;
	push @output, $node->safe_psql('postgres', $blocks[$i]);
	pass("block $i runs");
}
is($output[1], 'ghp_secret', 'a value goes round');
like($output[2], qr/^1000\|1000\|0\|0$/m, 'the column is encrypted');
is($output[3], 't', 'the trigger encrypts');
like($output[4], qr/^1001\|1001\|0\|0\n1001\|1001\|0\|0$/m, 'dry run and rotation count alike');
like($output[4], qr/^\w{14}\|primary\|1001\|$/m, 'every value is under the new key');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_keys WHERE revoked_at IS NOT NULL'),
	'1', 'the old key is revoked');

$node->stop;
done_testing();
