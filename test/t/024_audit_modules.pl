# What modules that write statements down see of a literal key: pgaudit and auto_explain
# see it masked where dbcrypt is preloaded after them and the statement names a setting of
# dbcrypt's. What README's "What it protects" says that is not masked is shown too.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $libdir = $ENV{DBCRYPT_SO} =~ s{/[^/]*$}{}r;
my %module = (
	pgaudit => "pgaudit.log = 'all'\npgaudit.log_parameter = on\npgaudit.log_statement_once = off\n",
	auto_explain => "auto_explain.log_min_duration = 0\nauto_explain.log_nested_statements = on\nauto_explain.log_verbose = on\n");
my %hidden = (
	'SET' => q{SET dbcrypt.keys = '%KEY%'},
	'misspelt' => q{SET dbcrypt.key = '%KEY%'},
	'set_config' => q{SELECT set_config('dbcrypt.keys', '%KEY%', false)},
	'two pieces' => q{SELECT set_config('dbcrypt.'||'keys', '%KEY%', false)},
	'DO' => q{DO $$BEGIN PERFORM set_config('dbcrypt.keys', '%KEY%', false); END$$},
	'ALTER SYSTEM' => q{ALTER SYSTEM SET dbcrypt.keys = '%KEY%'},
	'EXECUTE' => q{PREPARE p AS SELECT set_config($1, $2, false); EXECUTE p('dbcrypt.keys', '%KEY%'); DEALLOCATE p},
	'a short text' => q{SET dbcrypt.keys = 'text-short:%KEY%'});
my %shown = (
	'a name put together' => q{SELECT set_config('dbcr' || 'ypt.keys', '%KEY%', false)},
	'a wrapper of the users' => q{SELECT wrapper('%KEY%')});

foreach my $name (sort keys %module)
{
	SKIP:
	{
		skip "$name is not installed", 1 + keys(%hidden) + keys(%shown) unless -e "$libdir/$name.so";
		my $node = new_node("audit_$name", start => 0, preload => 0, conf => "shared_preload_libraries = '$name, dbcrypt'\n$module{$name}");
		$node->start;
		$node->safe_psql('postgres', q{CREATE EXTENSION dbcrypt;
			CREATE FUNCTION wrapper(k text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN set_config('dbcrypt.keys', k, false); END$$});
		foreach my $what (sort keys %hidden)
		{
			my $key = secret_key("$name $what");
			my $offset = -s $node->logfile;
			$node->psql('postgres', $hidden{$what} =~ s/%KEY%/$key/gr);
			my $log = substr(slurp_file($node->logfile), $offset);
			unlike($log, qr/\Q@{[ substr $key, 0, 20 ]}/, "$name, $what: no key");
			like($log, qr/AUDIT: SESSION,.*SET dbcrypt\.keys = '\*+'/, "$name, $what: it is logged") if "$name $what" eq 'pgaudit SET';
		}
		foreach my $what (sort keys %shown)
		{
			my $key = secret_key("$name $what");
			my $offset = -s $node->logfile;
			$node->psql('postgres', $shown{$what} =~ s/%KEY%/$key/gr);
			like(substr(slurp_file($node->logfile), $offset), qr/$key/, "$name, $what: the key is seen, as README says");
		}
		# The answer to it: no statement holds a key.
		my ($old, $new) = map { secret_key("$name file $_") } 1 .. 2;
		write_key_file(key_file($node), $new, $old);
		$node->safe_psql('postgres', q{SELECT dbcrypt_register_keys(); CREATE TABLE t AS SELECT dbcrypt_encrypt('x') AS c; SELECT dbcrypt_rotate('t', 'c')});
		unlike(slurp_file($node->logfile), qr/$old|$new/, "$name: nothing of a key file");
		$node->stop;
	}
}
done_testing();
