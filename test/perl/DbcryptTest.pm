# What the TAP tests share: servers with key files, keys, and searches of raw
# files. Keys are named by numbers: key_hex(1), key_hex(2).
package DbcryptTest;

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha256_hex);
use Exporter 'import';
use Fcntl;
use File::Find ();
use FindBin;
use IPC::Run ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(new_node key_file write_key_file key_hex key_id key_base64 secret_key
  key_spellings new_session run_sql start_sql finish_sql wait_for_setting
  psql_error application_sql client client_available gitlab_gems decrypt_all_ok grep_files no_key_in_files_ok
  server_process kill_server kill_process wait_for_crash soak);

# True when the long loops should run.
sub soak
{
	return $ENV{DBCRYPT_SOAK} ? 1 : 0;
}

# The key with this number, as 64 hex digits.
sub key_hex
{
	my ($n) = @_;
	return secret_key("number $n");
}

# The id of a key given in hex: 7 bytes of its SHA-256.
sub key_id
{
	my ($hex) = @_;
	return substr(sha256_hex(pack('H*', $hex)), 0, 14);
}

# A key whose bytes occur nowhere by chance, in hex: one for each label.
sub secret_key
{
	my ($label) = @_;
	return sha256_hex("dbcrypt test key $label");
}

# The base64 of a key given in hex.
sub key_base64
{
	my ($hex) = @_;
	return encode_base64(pack('H*', $hex), '');
}

# How a key given in hex could stand in a file.
sub key_spellings
{
	my ($hex) = @_;
	return (raw => pack('H*', $hex), hex => $hex, HEX => uc $hex, base64 => key_base64($hex));
}

# Path of a node's key file, beside its data directory.
sub key_file
{
	my ($node) = @_;
	return $node->basedir . '/keys';
}

# Replaces a key file in one step by one with these lines, readable by its owner only.
sub write_key_file
{
	my ($path, @keys) = @_;
	sysopen(my $file, "$path.new", O_WRONLY | O_CREAT | O_TRUNC, 0600)
	  or die "could not create \"$path.new\": $!";
	print $file map { "$_\n" } @keys;
	close $file or die "could not write \"$path.new\": $!";
	rename "$path.new", $path or die "could not rename \"$path.new\": $!";
	return;
}

# An initialised server with a key file. Options: keys (list of hex or base64;
# default key 1 primary, key 2 old; empty for no key file), preload (default 1),
# conf (further settings), start (default 1: started, with the extension created
# and its keys registered); all others go to the node's init.
sub new_node
{
	my ($name, %opts) = @_;
	my $keys = delete $opts{keys} // [ key_hex(1), key_hex(2) ];
	my $preload = delete $opts{preload} // 1;
	my $conf = delete $opts{conf} // '';
	my $start = delete $opts{start} // 1;

	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%opts);
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbcrypt'") if $preload;
	if (@$keys)
	{
		write_key_file(key_file($node), @$keys);
		$node->append_conf('postgresql.conf', "dbcrypt.key_file = '" . key_file($node) . "'");
	}
	$node->append_conf('postgresql.conf', $conf) if $conf ne '';
	if ($start)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION dbcrypt');
		$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()') if @$keys;
	}
	return $node;
}

# A psql session that stays open after errors; every query has its own time limit.
sub new_session
{
	my ($node, $database, %opts) = @_;
	my $session = $node->background_psql($database // 'postgres', on_error_stop => 0, %opts);
	$session->set_query_timer_restart;
	return $session;
}

# Runs a statement in such a session: (output, error messages).
sub run_sql
{
	my ($session, $sql) = @_;
	my $out = $session->query($sql);
	my $err = $session->{stderr};
	$session->{stderr} = '';
	return ($out, $err);
}

# Starts a statement in such a session and returns while it runs.
sub start_sql
{
	my ($session, $sql) = @_;
	$session->{timeout}->start;
	$session->{stdin} .= "$sql;\n\\echo over\n\\warn over\n";
	$session->{run}->pump_nb while length $session->{stdin};
	return;
}

# Waits for its end: (output, error messages).
sub finish_sql
{
	my ($session) = @_;
	foreach my $stream (qw(stdout stderr))
	{
		pump_until($session->{run}, $session->{timeout}, \$session->{$stream}, qr/^over\n/m)
		  or die 'the statement does not end';
	}
	my @said = map { s/^over\n//mr } @{$session}{qw(stdout stderr)};
	@{$session}{qw(stdout stderr)} = ('', '');
	return @said;
}

# Waits until an open session has seen a reload.
sub wait_for_setting
{
	my ($session, $name, $value) = @_;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my ($seen) = run_sql($session, "SHOW $name");
		return if $seen eq $value;
		select undef, undef, undef, 0.1;
	}
	die "$name did not become \"$value\"";
}

# What psql prints to standard error for these statements in a new session.
sub psql_error
{
	my ($node, $sql, %opts) = @_;
	my $database = delete $opts{database} // 'postgres';
	my ($rc, $out, $err) = $node->psql($database, $sql, %opts);
	return $err;
}

# The statements that make an application's tables, as its migrations do.
sub application_sql
{
	my ($name) = @_;
	return slurp_file("$FindBin::RealBin/../applications/$name.sql");
}

# Whether the independent program of test/clients can run here.
sub client_available
{
	return system('node --version >/dev/null 2>&1') == 0;
}

# Lets test/clients/schemes.js seal or open lines of JSON; dies if one does not open.
sub client
{
	my ($action, $scheme, $key, $lines) = @_;
	my ($out, $err);
	IPC::Run::run([ 'node', "$FindBin::RealBin/../clients/schemes.js", $action, $scheme, $key ],
		'<', \$lines, '>', \$out, '2>', \$err) or die "client could not $action $scheme: $err";
	return $out;
}

# Lets test/clients/gitlab.rb write or check a database under a db_key_base; asserts that
# it does not complain.
sub gitlab_gems
{
	my ($node, $database, $action, $base) = @_;
	my ($out, $err) = run_command([ 'ruby', '-W0', "$FindBin::RealBin/../clients/gitlab.rb", $action,
		$node->connstr($database), $base ]);
	is($err, '', "the gems $action");
	return $out;
}

# Asserts that every value of a column decrypts, in database postgres. The table,
# column and AAD are SQL. Returns the number of values.
sub decrypt_all_ok
{
	my ($node, $table, $column, $aad) = @_;
	$aad //= "''";
	my ($rc, $out, $err) = $node->psql('postgres',
		"SELECT count($column), count(dbcrypt_decrypt($column, $aad)) FROM $table");
	my ($values, $decrypted) = split /\|/, $out;
	ok($rc == 0 && $values == $decrypted, "every value of $table.$column decrypts")
	  or diag $err;
	return $values;
}

# The files below a directory that contain these bytes.
sub grep_files
{
	my ($dir, $bytes) = @_;
	my @found;
	File::Find::find(
		{
			no_chdir => 1,
			wanted => sub {
				return unless -f $_;
				open my $file, '<:raw', $_ or return;
				local $/;
				push @found, $_ if index(<$file> // '', $bytes) >= 0;
			}
		},
		$dir);
	@found = sort @found;
	return @found;
}

# Asserts that a key given in hex stands in no file below a directory.
sub no_key_in_files_ok
{
	my ($dir, $hex, $where) = @_;
	my %spelling = key_spellings($hex);
	my @found = map { my $how = $_; map { "$_ ($how)" } grep_files($dir, $spelling{$how}) }
	  sort keys %spelling;
	is_deeply(\@found, [], "no key in $where");
	return;
}

# (state letter, parent) of a process; empty if it is gone.
sub process
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/stat" or return;
	my $line = <$file>;
	return defined $line ? $line =~ /\) (\S) (\d+) / : ();
}

# The processes whose parent this is.
sub children
{
	my ($parent) = @_;
	return grep { ((process($_))[1] // 0) == $parent } map { /(\d+)/ } glob '/proc/[0-9]*';
}

# The postmaster of a server.
sub postmaster
{
	my ($node) = @_;
	return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
}

# A server's process whose title matches this, undef if there is none. No query is
# needed to find it, so that it is still there. Needs /proc.
sub server_process
{
	my ($node, $title) = @_;
	foreach my $pid (children(postmaster($node)))
	{
		open my $file, '<', "/proc/$pid/cmdline" or next;
		return $pid if (<$file> // '') =~ $title;
	}
	return;
}

# Waits until a server has noticed that one of its processes died, and is back: until
# it has noticed, it takes connections that it then ends. The offset is the end of
# its log before.
sub wait_for_crash
{
	my ($node, $offset) = @_;
	my $deadline = Time::HiRes::time() + $PostgreSQL::Test::Utils::timeout_default;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	# A query would be written to a psql that may have been turned away already.
	until (system('pg_isready', '-q', '-d', $node->connstr('postgres')) == 0)
	{
		die 'the server does not come back' if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.05);
	}
	return;
}

# kill -9 of one process of a server, which then starts again: waits until it is back.
# False if the process had ended or was about to: then nothing crashes. Needs /proc.
sub kill_process
{
	my ($node, $pid) = @_;
	my $offset = -s $node->logfile;
	my $deadline = Time::HiRes::time() + $PostgreSQL::Test::Utils::timeout_default;
	# A process that ends cannot be stopped any more; a stopped one cannot end by itself.
	kill 'STOP', $pid or return 0;
	while (((process($pid))[0] // 'X') !~ /[TZX]/)
	{
		die "process $pid neither stops nor ends" if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.005);
	}
	return 0 if ((process($pid))[0] // 'X') ne 'T' || !kill 'KILL', $pid;
	wait_for_crash($node, $offset);
	return 1;
}

# kill -9 of a server's postmaster and all its processes at once; waits until they
# are gone. Needs /proc.
sub kill_server
{
	my ($node) = @_;
	my $postmaster = postmaster($node);
	kill 'STOP', $postmaster;
	my @all = ($postmaster, children($postmaster));
	$node->kill9;
	kill 'KILL', @all;
	my $deadline = Time::HiRes::time() + $PostgreSQL::Test::Utils::timeout_default;
	foreach my $pid (@all)
	{
		# Until the postmaster's parent has seen its end, its lock files are in force.
		my $over = $pid == $postmaster ? qr/X/ : qr/[ZX]/;
		while (((process($pid))[0] // 'X') !~ $over)
		{
			die "process $pid survives SIGKILL" if Time::HiRes::time() > $deadline;
			Time::HiRes::sleep(0.01);
		}
	}
	return;
}

1;
