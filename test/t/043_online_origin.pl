# The replication origin "dbcrypt" on what rotation writes: consumers of logical
# decoding can leave it out; subscriptions work on.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $node = new_node('online_origin', allows_streaming => 'logical', keys => [ $k1, $k2 ]);
$node->safe_psql('postgres', q{
CREATE TABLE tokens (id int PRIMARY KEY, v text, large text);
ALTER TABLE tokens ALTER large SET STORAGE EXTERNAL;
INSERT INTO tokens SELECT i, dbcrypt_encrypt('token ' || i), dbcrypt_encrypt(repeat('x', 5000)) FROM generate_series(1, 300) i;
CREATE PUBLICATION tokens FOR TABLE tokens;
SELECT pg_create_logical_replication_slot('cdc', 'test_decoding');
});

# A subscriber, whose keys are the same.
my $subscriber = new_node('online_subscriber', allows_streaming => 'logical', keys => [ $k1, $k2 ]);
my $connection = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', 'CREATE TABLE tokens (id int PRIMARY KEY, v text, large text)');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION tokens CONNECTION '$connection' PUBLICATION tokens");
$subscriber->wait_for_subscription_sync($node, 'tokens');

# Updates that a consumer of the slot is shown, as "all or local"; the slot moves on.
sub changes
{
	my $get = q{FROM pg_logical_slot_%s_changes('cdc', NULL, NULL, 'skip-empty-xacts', '1', 'include-xids', '0'%s) WHERE data LIKE 'table public.tokens%%'};
	my $all = $node->safe_psql('postgres', 'SELECT count(*) ' . sprintf($get, 'peek', ''));
	my $local = $node->safe_psql('postgres', 'SELECT count(*) ' . sprintf($get, 'get', q{, 'only-local', '1'}));
	return "$all|$local";
}

write_key_file(key_file($node), $k2, $k1);
foreach my $way (
	q{CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 2)},
	q{CALL dbcrypt_rotate_online('tokens', 'large', workers => 2)},
	q{SELECT dbcrypt_rotate('tokens', 'v')})
{
	$node->safe_psql('postgres', $way);
	is(changes(), '300|0', "$way: every change has the origin");
	write_key_file(key_file($node), $k1, $k2) if $way =~ /large/;
}
is($node->safe_psql('postgres', q{SELECT roname FROM pg_replication_origin}), 'dbcrypt', 'one origin, made when it was needed');

$node->safe_psql('postgres', q{UPDATE tokens SET v = dbcrypt_encrypt('mine') WHERE id = 1; INSERT INTO tokens VALUES (301, dbcrypt_encrypt('token 301'))});
is(changes(), '2|2', "the application's changes have none");

# Rows that had to be waited for, in the same session as changes of its own.
my $writer = new_session($node);
$writer->query_safe('BEGIN');
$writer->query_safe('UPDATE tokens SET large = NULL WHERE id = 2');
my $rotator = new_session($node);
write_key_file(key_file($node), $k2, $k1);
start_sql($rotator, "CALL dbcrypt_rotate_online('tokens', 'v');\nUPDATE tokens SET large = NULL WHERE id = 3");
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CALL dbcrypt%' AND wait_event_type = 'Lock'})
  or die 'the rotation does not wait';
$writer->query_safe('COMMIT');
finish_sql($rotator);
is(changes(), '303|2', 'also a row that had to be waited for; not what the session does next');
$writer->quit;
$rotator->quit;

# An error leaves no origin behind in the session.
$rotator = new_session($node);
write_key_file(key_file($node), $k1, $k2);
my $header = $node->safe_psql('postgres', q{SELECT left(dbcrypt_encrypt('x'), 8)});
$node->safe_psql('postgres', qq{ALTER TABLE tokens ADD CHECK (v NOT LIKE '$header%' OR id < 100) NOT VALID});
like((run_sql($rotator, q{CALL dbcrypt_rotate_online('tokens', 'v')}))[1], qr/violates constraint/, 'a rotation fails');
run_sql($rotator, q{UPDATE tokens SET large = NULL WHERE id = 4});
is(changes(), '1|1', 'and the next change of the session is its own');
$rotator->quit;

# The subscriber has followed it all: also without the origin's name.
$node->wait_for_catchup('tokens');
my $sums = q{SELECT count(*), md5(string_agg(id || coalesce(v, '') || coalesce(large, ''), '' ORDER BY id)) FROM tokens};
is($subscriber->safe_psql('postgres', $sums), $node->safe_psql('postgres', $sums), 'a subscription applies what rotation writes');
decrypt_all_ok($subscriber, 'tokens', 'v');
$subscriber->stop;
$node->stop;
done_testing();
