# The build is sane: the extension is created, values go round, and the library
# exports the functions that PostgreSQL calls and nothing else.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('basic');

my $envelope = $node->safe_psql('postgres', "SELECT dbcrypt_encrypt('secret', 'user 1')");
like($envelope, qr/^dbc1[A-Za-z0-9+\/]+=*$/, 'text envelope');
is($node->safe_psql('postgres', "SELECT dbcrypt_decrypt('$envelope', 'user 1')"),
	'secret', 'text round trip');
is($node->safe_psql('postgres', "SELECT dbcrypt_key_id('$envelope')"),
	key_id(key_hex(1)), 'the key id is the first 7 bytes of SHA-256(key)');
is( $node->safe_psql('postgres', "SELECT dbcrypt_decrypt(dbcrypt_encrypt('\\x00ff'::bytea))"),
	'\x00ff', 'bytea round trip');

my %exported = map { (split)[2] => 1 }
  grep { /\S/ } split /\n/, `nm -D --defined-only '$ENV{DBCRYPT_SO}'`;
my @called = split /\n/,
  $node->safe_psql('postgres',
	q{SELECT DISTINCT prosrc FROM pg_proc WHERE probin = '$libdir/dbcrypt' ORDER BY 1});
cmp_ok(@called, '>', 0, 'there are C functions');
is_deeply([ grep { !$exported{$_} || !$exported{"pg_finfo_$_"} } @called ],
	[], 'every C function is exported');
is_deeply([ grep { !$exported{$_} } qw(Pg_magic_func _PG_init) ],
	[], 'the entry points of a module are exported');

# The main functions of background workers are called by name.
delete @exported{ grep { /^dbcrypt_\w+_main$/ } keys %exported };
delete @exported{ 'Pg_magic_func', '_PG_init', map { ($_, "pg_finfo_$_") } @called };
is_deeply([ sort keys %exported ], [], 'nothing else is exported');

$node->stop;
done_testing();
