# A rotation that is cancelled, or whose session ends, changes nothing.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
# Changes are marked with an origin where they are decoded.
my $node = new_node('cancel', keys => [$k2], allows_streaming => 'logical');

# AAD that waits for an advisory lock at the last row: a place to stop at.
$node->safe_psql('postgres', q{
CREATE FUNCTION aad(id int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN
	IF id = 2000 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
	RETURN id;
END$$;
CREATE TABLE tokens (id int PRIMARY KEY, token text);
INSERT INTO tokens SELECT i, dbcrypt_encrypt('token ' || i, i::text) FROM generate_series(1, 2000) i;
CREATE TABLE many AS SELECT i AS id, dbcrypt_encrypt('x') AS token FROM generate_series(1, 100000) i;
});
write_key_file(key_file($node), $k1, $k2);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');

sub state_of_table
{
	my ($table) = @_;
	return $node->safe_psql('postgres', "SELECT md5(string_agg(ctid::text || xmin || token, '' ORDER BY id)) FROM $table;
		SELECT count(*) FROM dbcrypt_columns; SELECT count(*) FROM pg_locks WHERE relation = '$table'::regclass");
}

# The backend of this session waits for this lock.
sub wait_until_blocked
{
	my ($pid, $event) = @_;
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' AND wait_event = '$event' FROM pg_stat_activity WHERE pid = $pid")
	  or die "the rotation did not come to its lock";
	return;
}

my $rotate = q{SELECT dbcrypt_rotate('tokens', 'token', 'public.aad(id)')};
my $before = state_of_table('tokens');
my $blocker = new_session($node);

foreach my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	foreach my $case (
		[ $rotate, 'SELECT pg_advisory_lock(1)', 'advisory', 'after most rows' ],
		[ q{SELECT dbcrypt_rotate('tokens', 'token', 'public.aad(id)', dry_run => true)},
			'SELECT pg_advisory_lock(1)', 'advisory', 'in a dry run' ],
		[ $rotate, 'SELECT pg_advisory_lock(1)', 'advisory', 'in a transaction', 'BEGIN' ],
		[ $rotate, 'BEGIN; SELECT 1 FROM tokens WHERE id = 1999 FOR UPDATE', 'transactionid', "at another's row" ],
		[ $rotate, 'BEGIN; LOCK tokens', 'relation', 'at a locked table' ],
		[ q{SELECT * FROM dbcrypt_rotate_all()}, 'BEGIN; LOCK tokens', 'relation', 'in rotate_all', 'SELECT dbcrypt_register_column($$tokens$$, $$token$$, $$public.aad(id)$$)' ],
		)
	{
		my ($statement, $block, $event, $name, $first) = @$case;
		my $session = new_session($node);
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		$session->query_safe($first) if $first;
		$blocker->query_safe($block);
		$session->query_until(qr/start/, "\\echo start\n$statement;\n");
		wait_until_blocked($pid, $event);
		$node->safe_psql('postgres', "SELECT $how($pid)");
		my $expected = $how eq 'pg_cancel_backend' ? qr/canceling statement due to user request/
		  : qr/terminating connection due to administrator command/;
		pump_until($session->{run}, $session->{timeout}, \$session->{stderr}, $expected);
		like($session->{stderr}, $expected, "$how $name");
		if ($how eq 'pg_cancel_backend')
		{
			$session->{stderr} = '';
			run_sql($session, 'ROLLBACK');
			is((run_sql($session, q{SELECT dbcrypt_decrypt(dbcrypt_encrypt('on'))}))[0], 'on',
				'... and the session goes on');
			$session->quit;
		}
		else
		{
			eval { $session->quit };
			$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid")
			  or die 'the backend stays';
		}
		$blocker->query($block =~ /^BEGIN/ ? 'ROLLBACK' : 'SELECT pg_advisory_unlock_all()');
		$node->safe_psql('postgres', q{SELECT dbcrypt_unregister_column('tokens', 'token')})
		  if $first && $first =~ /register/;
		is(state_of_table('tokens'), $before, '... and nothing has changed');
	}
}
$blocker->quit;

# While it runs, without any lock to wait for. How long the 100,000 rows take
# does not matter, as long as it is more than a millisecond.
my $many = state_of_table('many');
foreach my $call (q{dbcrypt_rotate('many', 'token')}, q{dbcrypt_rotate('many', 'token', dry_run => true)})
{
	like(psql_error($node, "SET statement_timeout = '1ms'; SELECT $call"),
		qr/canceling statement due to statement timeout/, "statement_timeout: $call");
	is(state_of_table('many'), $many, '... and nothing has changed');
}
is($node->safe_psql('postgres', q{SELECT dbcrypt_rotate('many', 'token')}), '(100000,100000,0,0)', 'a rotation after all that');
is($node->safe_psql('postgres', $rotate), '(2000,2000,0,0)', '... and the other');
$node->stop;
done_testing();
