# The programs of docs/orms.md, run as they are written by a role that owns the table:
# each writes a token twice, reads it back and rotates it. Where a library is missing,
# its program is skipped.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use IPC::Run ();
use PageTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = "$FindBin::RealBin/../../docs/orms.md";
plan skip_all => 'the page is not here' unless -f $page;

# JDBC knows no sockets of the file system.
my $node = new_node('orms', start => 0, keys => [ key_hex(2) ], conf => "listen_addresses = '127.0.0.1'\n");
$node->start;
$node->safe_psql('postgres', $_) foreach 'CREATE ROLE app LOGIN', 'CREATE DATABASE app',
  'ALTER DATABASE app SET search_path = public, dbcrypt';
$node->safe_psql('app', 'CREATE SCHEMA dbcrypt; CREATE EXTENSION dbcrypt SCHEMA dbcrypt; SELECT dbcrypt_register_keys()');

# Debian's node modules, and those of npm that a machine has.
$ENV{NODE_PATH} = join ':', grep { defined } $ENV{NODE_PATH}, qw(/usr/share/nodejs /usr/lib/nodejs /usr/local/lib/node_modules);
my $dir = PostgreSQL::Test::Utils::tempdir();
# Packages are for Debian's own Python, which need not be the first one found.
my $python = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';
my $jar = '/usr/share/java/postgresql.jar';

# For each language: how a program is run, what names the libraries it needs, and a
# program that ends well where one is there.
my %language = (
	python => {
		run => [ $python, "$dir/example.py" ],
		library => qr/^(?:import|from) (?!os$)(\w+)/m,
		there => sub { [ $python, '-c', "import $_[0]" ] }
	},
	ruby => {
		run => [ 'ruby', "$dir/example.rb" ],
		library => qr/^require "(\w+)"/m,
		there => sub { [ 'ruby', '-e', "require '$_[0]'" ] }
	},
	js => {
		run => [ 'node', "$dir/example.js" ],
		library => qr/require\("(\w+)"\)/,
		there => sub { [ 'node', '-e', "require('$_[0]')" ] }
	},
	java => {
		run => [ 'java', '-cp', $jar, "$dir/Example.java" ],
		library => qr/^(import) /m,
		there => sub { [ 'sh', '-c', "test -f $jar && javac -version" ] }
	});

# (ended well, what it printed, its errors)
sub run_program
{
	my ($command) = @_;
	my ($out, $err) = ('', '');
	local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)} = ('127.0.0.1', $node->port, 'app', 'app');
	my $ok = eval { IPC::Run::run($command, '<', \'', '>', \$out, '2>', \$err) };
	return ($ok, $out, $err . ($@ // ''));
}

my ($section, %programs) = ('');
foreach my $block (blocks(slurp_file($page)))
{
	my ($language, $text) = @$block;
	if ($language eq 'sql')
	{
		$node->safe_psql('app', $text);
		# From here on programs rotate to a new key.
		write_key_file(key_file($node), key_hex(1), key_hex(2));
		$node->safe_psql('app', 'SELECT dbcrypt_register_keys()');
		next;
	}
	my $how = $language{$language} or fail("a block of \"$language\"") or next;
	my @libraries = $text =~ /$how->{library}/g;
	my $name = "$language: $libraries[0]";
	my ($file) = grep { m{/} } @{ $how->{run} }[ -1 ];
	$programs{$name}++;
  SKIP:
	{
		my ($missing) = grep { !(run_program($how->{there}->($_)))[0] } @libraries;
		skip "$name: this machine lacks it", 2 if defined $missing;
		unlink $file;
		append_to_file($file, $text);
		my ($ok, $out, $err) = run_program($how->{run});
		ok($ok, "$name runs") or diag $err;
		is($out, $libraries[0] eq 'alembic' ? "nothing to migrate\n" : "ghp_two\n", '... and reads what was written');
	}
}
is(scalar keys %programs, 9, 'every program of the page');
is($node->safe_psql('app', 'SELECT count(*) FROM accounts WHERE NOT dbcrypt_is_encrypted(token)'),
	0, 'every token is encrypted');
like($node->safe_psql('app', "SELECT string_agg(DISTINCT state, ' ') FROM dbcrypt_verify('accounts', 'token')"),
	qr/^(primary)?$/, '... under the new key');
$node->stop;
done_testing();
