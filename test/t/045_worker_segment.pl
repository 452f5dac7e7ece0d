# The shared memory segment of a rotation with workers holds the session's
# settings, literal keys among them. It is gone when the call ends, by an error too.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($new, $old) = map { secret_key($_) } 'new', 'old';
my $node = new_node('worker_segment', keys => [],
	conf => "autovacuum = off\ndynamic_shared_memory_type = mmap\n");
my $segments = $node->data_dir . '/pg_dynshmem';

# The final ANALYZE evaluates the predicate of an index, which can be made to wait
# for the lock 1 and then to fail.
$node->safe_psql('postgres', qq{
	SET dbcrypt.keys = '$old';
	SELECT dbcrypt_register_keys();
	CREATE FUNCTION in_index(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$\$
		BEGIN
			IF current_setting('test.fail', true) = 'on' THEN
				PERFORM pg_advisory_lock(1);
				RAISE 'no ANALYZE today';
			END IF;
			RETURN true;
		END \$\$;
	CREATE TABLE t (id int, c text);
	INSERT INTO t SELECT i, dbcrypt_encrypt('value ' || i) FROM generate_series(1, 2000) i;
	CREATE INDEX ON t (id) WHERE in_index(id);
	ANALYZE t;
});

my $holder = new_session($node);
run_sql($holder, 'SELECT pg_advisory_lock(1)');
my $session = new_session($node);
run_sql($session, "SET dbcrypt.keys = '$new,$old'");
run_sql($session, 'SELECT dbcrypt_register_keys()');
run_sql($session, 'SET test.fail = on');
$session->query_until(qr/started/, "\\echo started\nCALL dbcrypt_rotate_in_place('t', 'c', workers => 2);\n\\echo over\n");

$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'})
  or die 'the ANALYZE does not wait';
cmp_ok(scalar(grep_files($segments, $new)), '>', 0, 'the segment holds the key while the call runs');

run_sql($holder, 'SELECT pg_advisory_unlock(1)');
pump_until($session->{run}, $session->{timeout}, \$session->{stdout}, qr/over/) or die 'the call does not end';
like($session->{stderr}, qr/no ANALYZE today/, 'the final ANALYZE fails');
$session->{stderr} = $session->{stdout} = '';
is((run_sql($session, 'SELECT 1'))[0], '1', 'the session goes on');
no_key_in_files_ok($segments, $_, 'the segments of a session whose call has failed') foreach $new, $old;

$session->quit;
$holder->quit;
$node->stop;
done_testing();
