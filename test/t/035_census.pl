# dbcrypt_census beside others: under one snapshot, with a lock on one table at a time,
# on a standby, cancelled; and dbcrypt_databases.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = key_id(key_hex(1));
my $node = new_node('census', allows_streaming => 1);

$node->safe_psql('postgres', q{
	CREATE TABLE a_first (s text);
	CREATE TABLE b_locked (s text);
	CREATE TABLE c_last (s text);
	CREATE TABLE d_dropped (s text);
	CREATE TABLE e_rewritten (s text);
	CREATE TABLE f_truncated (s text);
	CREATE UNLOGGED TABLE g_unlogged AS SELECT dbcrypt_encrypt('x') AS s;
	INSERT INTO c_last VALUES (dbcrypt_encrypt('moves'));
	INSERT INTO e_rewritten VALUES (dbcrypt_encrypt('x'));
});

# Waits until the census of this backend waits for its lock.
sub wait_until_blocked
{
	my ($pid) = @_;
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'the census did not come to the locked table';
	return;
}

my $census = new_session($node);
my $locker = new_session($node);
my ($pid) = run_sql($census, 'SELECT pg_backend_pid()');
run_sql($locker, 'BEGIN; LOCK TABLE b_locked');
start_sql($census, q{SELECT "table", state, "values", detail FROM dbcrypt_census()});
wait_until_blocked($pid);

# ---- what is locked, and what it reports ----
is($node->safe_psql('postgres', qq{SELECT relation::regclass, mode, granted FROM pg_locks
	WHERE pid = $pid AND relation >= 16384 AND relation::regclass::text ~ '^._'}),
	'b_locked|AccessShareLock|f', 'only the table at work is locked');
is($node->safe_psql('postgres', qq{SELECT "table", phase, blocks_total > blocks_done, blocks_done > 0
	FROM dbcrypt_progress WHERE pid = $pid}), 'b_locked|searching|t|t', 'progress');

# ---- what changes while it reads ----
my $changes = new_session($node);
run_sql($changes, q{SET lock_timeout = '100ms'});
is((run_sql($changes, $_))[1], '', $_)
  foreach (
	'WITH moved AS (DELETE FROM c_last RETURNING s) INSERT INTO a_first SELECT s FROM moved',
	q{INSERT INTO a_first VALUES (dbcrypt_encrypt('new'))}, 'DROP TABLE d_dropped',
	'ALTER TABLE e_rewritten ALTER s TYPE varchar(100)', 'TRUNCATE f_truncated');
run_sql($locker, 'COMMIT');
my ($out, $err) = finish_sql($census);
is($err, '', 'no error');
like($out, qr/^c_last\|unregistered\|1\|$/m, 'a row that moved is where the snapshot sees it');
unlike($out, qr/a_first/, '... and only there');
like($out, qr/^\d+\|not readable\|\|public\.d_dropped: dropped since the census began$/m, 'dropped');
like($out, qr/^$_\|not readable\|\|public\.$_: rewritten or truncated since the census began$/m, $_)
  foreach 'e_rewritten', 'f_truncated';
like($node->safe_psql('postgres', q{SELECT "table", "values" FROM dbcrypt_census()}),
	qr/^a_first\|2$/m, 'the next census sees it all');

# ---- cancelled ----
run_sql($locker, 'BEGIN; LOCK TABLE b_locked');
start_sql($census, 'SELECT * FROM dbcrypt_census()');
wait_until_blocked($pid);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
($out, $err) = finish_sql($census);
like($err, qr/canceling statement due to user request/, 'cancelled');
is($node->safe_psql('postgres', "SELECT count(*) FROM dbcrypt_progress"), '0', '... and its progress is gone');
run_sql($census, q{SET lock_timeout = '10ms'});
($out, $err) = run_sql($census, q{SELECT "table", state, detail FROM dbcrypt_census('b_locked')});
like($out, qr/^b_locked\|not readable\|public\.b_locked: .*lock timeout/, 'a table that is not to be had');
run_sql($census, 'RESET lock_timeout');
run_sql($locker, 'COMMIT');

# ---- temporary tables: of this session, and of another ----
run_sql($locker, q{CREATE TEMP TABLE temporary AS SELECT dbcrypt_encrypt('x') AS s});
($out) = run_sql($census, q{SELECT state, detail FROM dbcrypt_census() WHERE detail ~ 'temporary'});
like($out, qr/^not readable\|pg_temp_\d+\.temporary: a temporary table of another session$/, "another session's");
($out) = run_sql($locker, q{SELECT "table", state, "values" FROM dbcrypt_census('temporary')});
is($out, 'temporary|unregistered|1', 'its own');

# ---- a transaction's own changes ----
($out) = run_sql($locker, q{BEGIN; CREATE TABLE mine AS SELECT dbcrypt_encrypt('x') AS s;
	TRUNCATE a_first; INSERT INTO a_first VALUES (dbcrypt_encrypt('x'));
	SELECT "table", state, "values" FROM dbcrypt_census() WHERE "table" IN ('mine'::regclass, 'a_first') ORDER BY 1; ROLLBACK});
is($out, "a_first|unregistered|1\nmine|unregistered|1", "a transaction's own changes");

# ---- on a standby ----
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "dbcrypt.key_file = '" . key_file($standby) . "'");
write_key_file(key_file($standby), key_hex(1));
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT "table", state, "values" FROM dbcrypt_census() WHERE "table" IN
	('a_first'::regclass, 'e_rewritten', 'g_unlogged') ORDER BY 1}),
	"a_first|unregistered|2\ne_rewritten|unregistered|1\ng_unlogged|not readable|", 'a standby');
is($standby->safe_psql('postgres', "SELECT state FROM dbcrypt_databases('$key') WHERE database = 'postgres'"),
	'in use', '... asks its databases');
$standby->stop;

# ---- databases ----
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'bare', 'closed', 'unused', 'unclear';
$node->safe_psql($_, q{CREATE EXTENSION dbcrypt; SELECT dbcrypt_register_keys();
	CREATE TABLE t (id int, s text) PARTITION BY LIST (id);
	CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);
	SELECT dbcrypt_register_column('t', 's')}) foreach 'closed', 'unused', 'unclear';
$node->safe_psql('closed', q{INSERT INTO t VALUES (1, dbcrypt_encrypt('x'))});
$node->safe_psql('unclear', q{CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
	CREATE FOREIGN TABLE t2 PARTITION OF t FOR VALUES IN (2) SERVER elsewhere});
$node->safe_psql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false');
is($node->safe_psql('postgres', "SELECT * FROM dbcrypt_databases('$key')"), <<END =~ s/\n\z//r, 'every database is asked');
bare|no extension: not searched
closed|in use
postgres|in use
template0|no extension: not searched
template1|no extension: not searched
unclear|could not be asked
unused|not in use
END
like(psql_error($node, q{SELECT * FROM dbcrypt_databases('abc')}), qr/not the id of a key/, 'a misspelt key');
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$_->quit foreach $census, $locker, $changes;
$node->restart;
is($node->safe_psql('postgres', "SELECT DISTINCT state FROM dbcrypt_databases('$key')"), 'could not be asked',
	'no worker is free');
$node->stop;
done_testing();
