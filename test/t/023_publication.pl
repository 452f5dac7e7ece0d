# A publication FOR ALL TABLES carries dbcrypt's own tables too: every change of them
# arrives, in text and binary, and where it arrives the hints are that database's own.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $publisher = new_node('publisher', start => 0, keys => [ $k1, $k2 ], allows_streaming => 'logical');
$publisher->start;
my $subscriber = new_node('subscriber', start => 0, keys => [ $k1, $k2 ], allows_streaming => 'logical');
$subscriber->start;

my $registry = 'SELECT "schema", "table", "column", aad FROM dbcrypt_columns ORDER BY 1, 2, 3';
my $bound = q{SELECT count(*) FROM dbcrypt_columns c JOIN pg_attribute a ON a.attrelid = c.relid AND a.attnum = c.attnum
	WHERE c.relid = format('%I.%I', "schema", "table")::regclass AND attname = "column"};
my $problems = q{SELECT finding FROM dbcrypt_check() WHERE subject LIKE 'registered column%' ORDER BY 1};

foreach my $binary (qw(false true))
{
	my $name = "all_$binary";
	my $database = "database_$binary";

	$_->safe_psql('postgres', "CREATE DATABASE $database") foreach $publisher, $subscriber;
	$publisher->safe_psql($database, q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();
		CREATE TABLE t (id int PRIMARY KEY, v text);
		CREATE TABLE u (id int PRIMARY KEY, v bytea);
		INSERT INTO t SELECT i, dbcrypt_encrypt('one', i::text) FROM generate_series(1, 20) i;
		SELECT dbcrypt_register_column('t', 'v', 'id::text');
	});
	# Other OIDs, and another number of the column.
	$subscriber->safe_psql($database, q{
		CREATE EXTENSION dbcrypt;
		CREATE TABLE t (id int PRIMARY KEY, gone int, v text);
		ALTER TABLE t DROP gone;
		CREATE TABLE filler ();
		CREATE TABLE u (id int PRIMARY KEY, v bytea);
	});
	$publisher->safe_psql($database, "CREATE PUBLICATION $name FOR ALL TABLES");
	$subscriber->safe_psql($database, "CREATE SUBSCRIPTION $name CONNECTION '"
		  . $publisher->connstr . " dbname=$database' PUBLICATION $name WITH (binary = $binary)");
	ok( $subscriber->poll_query_until($database,
			q{SELECT count(*) = 4 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}), "$name: every table is copied");
	is($subscriber->safe_psql($database, $registry), 'public|t|v|id::text', "$name: the registration is copied");
	is($subscriber->safe_psql($database, $bound), 1, "$name: and leads to the subscriber's column");
	is($subscriber->safe_psql($database, q{SELECT state, "values" FROM dbcrypt_verify_all()}), 'primary|20', "$name: every value opens");

	# Another key, registration, rotation.
	write_key_file(key_file($_), $k2, $k1) foreach $publisher, $subscriber;
	$publisher->safe_psql($database, q{
		SELECT dbcrypt_register_keys();
		INSERT INTO u SELECT i, dbcrypt_encrypt('two'::bytea) FROM generate_series(1, 20) i;
		SELECT dbcrypt_rotate('t', 'v'), dbcrypt_rotate('u', 'v');
	});
	$publisher->wait_for_catchup($name);
	is($subscriber->safe_psql($database, $registry), "public|t|v|id::text\npublic|u|v|", "$name: a registration arrives");
	is($subscriber->safe_psql($database, $bound), 2, "$name: and leads to the subscriber's column");
	is( $subscriber->safe_psql($database, q{SELECT "table", state, "values" FROM dbcrypt_verify_all() ORDER BY "table"::text}),
		"t|primary|20\nu|primary|20", "$name: what was rotated arrives");

	# A session that is open there hears of what the apply has changed.
	my $open = new_session($subscriber, $database);
	my $state = q{SELECT state FROM dbcrypt_register_keys() WHERE key_id = '} . key_id($k1) . q{'};
	is((run_sql($open, $state))[0], 'registered', "$name: a key's state in an open session");

	# DDL is not replicated: the subscriber's follows.
	$publisher->safe_psql($database, 'ALTER TABLE u RENAME v TO w');
	$publisher->wait_for_catchup($name);
	is($subscriber->safe_psql($database, $registry), "public|t|v|id::text\npublic|u|w|", "$name: a rename arrives");
	is($subscriber->safe_psql($database, $problems), 'column "w" of table "public.u" does not exist', "$name: and is missed there");
	is($subscriber->safe_psql($database, "ALTER TABLE u RENAME v TO w; $problems"), '', "$name: until it is made");
	is($subscriber->safe_psql($database, q{SELECT state, "values" FROM dbcrypt_verify('u', 'w')}), 'primary|20', "$name: every value opens");

	$publisher->safe_psql($database, q{SELECT dbcrypt_unregister_column('u', 'w'), dbcrypt_revoke_key('} . key_id($k1) . q{')});
	$publisher->wait_for_catchup($name);
	is($subscriber->safe_psql($database, $registry), 'public|t|v|id::text', "$name: what is unregistered goes");
	is($subscriber->safe_psql($database, 'SELECT count(*) FROM dbcrypt_keys WHERE revoked_at IS NOT NULL'), 1, "$name: a revocation arrives");
	is((run_sql($open, $state))[0], 'revoked', "$name: which the open session hears of");
	$open->quit;
	$subscriber->safe_psql($database, "DROP SUBSCRIPTION $name");
	write_key_file(key_file($_), $k1, $k2) foreach $publisher, $subscriber;
}
unlike(slurp_file($subscriber->logfile), qr/ERROR/, 'no error at the subscriber');

$subscriber->stop;
$publisher->stop;
done_testing();
