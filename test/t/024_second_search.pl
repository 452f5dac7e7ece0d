# dbcrypt_revoke_keys searches twice. What only the second search cannot look into is
# mentioned as well; what the first has mentioned is not said again.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = key_id(key_hex(2));
my $node = new_node('second_search');
$node->safe_psql('postgres', q{
	CREATE FOREIGN DATA WRAPPER elsewhere;
	CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
	CREATE FOREIGN TABLE abroad_1 (v text) SERVER elsewhere;
	CREATE TABLE gate (v text)});

# It holds no snapshot and has written nothing: the first search waits at its lock.
my $gate = new_session($node);
$gate->query_safe('BEGIN; LOCK TABLE gate');
my $revoker = new_session($node);
start_sql($revoker, "CALL dbcrypt_revoke_keys(ARRAY['$old'])");
my $waits = q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND locktype = '%s'};
$node->poll_query_until('postgres', sprintf($waits, 'relation')) or die 'the first search does not wait';

# One that began during the first search is waited for before the second.
my $later = new_session($node);
$later->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
$gate->query_safe('COMMIT');
$node->poll_query_until('postgres', sprintf($waits, 'virtualxid')) or die 'the second wait does not begin';
$node->safe_psql('postgres', 'CREATE FOREIGN TABLE abroad_2 (v text) SERVER elsewhere');
$later->query_safe('COMMIT');

my (undef, $said) = finish_sql($revoker);
my @mentioned = $said =~ /^.*WARNING:  not looked at: (\S+): /mg;
is_deeply(\@mentioned, [ 'public.abroad_1', 'public.abroad_2' ], 'each place is mentioned once') or diag $said;
unlike($said, qr/ERROR/, 'the key is revoked');

$_->quit foreach $gate, $revoker, $later;
$node->stop;
done_testing();
