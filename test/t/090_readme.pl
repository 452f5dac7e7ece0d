# README's blocks do what they show: "First steps" run as they stand, the new key of the
# rotation included, and "Migrating from pgcrypto". "Install" needs a machine of its own,
# so test/harness/bare_inside runs that; here, only that it would find the block. The
# page stays short, and no page links to nothing.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PageTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $readme = slurp_file("$root/README.md");

# ---- its size, its blocks ----

utf8::decode(my $characters = $readme);
my @lines = split /\n/, $characters;
cmp_ok(scalar @lines, '<=', 250, 'README has at most 250 lines');
is_deeply([ grep { length > 120 } @lines ], [], '... of at most 120 characters');

my @commands = grep { $_->[0] eq '' } blocks(section($readme, 'Install'));
is(scalar @commands, 1, 'README has one block that installs');
my $install = $commands[0][1];
unlike($install, qr{postgresql[/-]\d|/\d\d/|^sudo }m, '... for every version, and for root');
my @steps = blocks(section($readme, 'First steps'));
my @migration = blocks(section($readme, 'Migrating from pgcrypto'));
is(join(' ', map { $_->[0] } @steps), 'sql sql sql sql sh sql sql', 'the blocks of "First steps"');
is(join(' ', map { $_->[0] } @migration), 'sql', '... and of the migration');
is(scalar(grep { $_->[0] ne 'text' } blocks($readme)), 1 + @steps + @migration, 'there is no other block');

# ---- what they do ----

# The extension as "Install" makes it; then its key file is another.
my ($create) = $install =~ /(CREATE SCHEMA [^"]*)"/;
my ($extension) = $install =~ /(CREATE EXTENSION [^"]*)"/;
my ($path) = $install =~ /(ALTER DATABASE [^"]*)"/;
my ($installed_keys) = $install =~ /dbcrypt\.key_file = '([^']*)'/;
my $node = new_node('readme', start => 0, keys => [ key_hex(1) ]);
$node->start;
$node->safe_psql('postgres', $_) foreach $create, $extension, $path;
my $keys = key_file($node);
my @output;
foreach my $step (@steps)
{
	my ($language, $text) = @$step;
	if ($language eq 'sh')
	{
		is(($text =~ s/\Q$installed_keys\E/$keys/g), 5, 'the shell names the key file');
		is(($text =~ s/^chown postgres: .*\n//m), 1, '... and gives it to the server');
		my ($out, $err) = run_command([ 'sh', '-ec', $text ]);
		is($err, '', 'the new key is put first');
		is((stat $keys)[2] & 0777, 0600, '... for the server alone');
		next;
	}
	push @output, $node->safe_psql('postgres', $text);
	pass("SQL block $#output runs");
}
is($output[1], 'ghp_secret', 'a value goes round');
like($output[2], qr/^1000\|1000\|0\|0$/m, 'the column is encrypted');
is($output[3], 't', 'the trigger encrypts');
like($output[4], qr/^1001\|1001\|0\|0\n1001\|1001\|0\|0$/m, 'dry run and rotation count alike');
like($output[4], qr/^\w{14}\|primary\|1001\|$/m, 'every value is under the new key');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_keys WHERE revoked_at IS NOT NULL'),
	'1', 'the old key is revoked');

$node->safe_psql('postgres', q{CREATE EXTENSION pgcrypto;
	CREATE TABLE customers (id int PRIMARY KEY, iban bytea);
	INSERT INTO customers SELECT i, pgp_sym_encrypt('DE' || i, 'passphrase') FROM generate_series(1, 3) i});
$node->safe_psql('postgres', $migration[0][1]);
is($node->safe_psql('postgres', q{SELECT string_agg(dbcrypt_decrypt(iban, id::text), ' ' ORDER BY id) FROM customers}),
	'DE1 DE2 DE3', 'values of pgcrypto are migrated');
$node->stop;

# ---- links ----

foreach my $page (map { glob "$root/$_" } '*.md', 'docs/*.md')
{
	my ($folder, $name) = $page =~ m{(.*)/(.*)};
	my @dead = grep {
		my ($file, $anchor) = split /#/, $_, 2;
		my $target = $file eq '' ? $page : "$folder/$file";
		!-e $target || defined $anchor && !grep { $_ eq $anchor } anchors(slurp_file($target));
	} links(slurp_file($page));
	is_deeply(\@dead, [], "every link of $name leads somewhere");
}
done_testing();
