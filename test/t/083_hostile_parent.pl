# Hostile owners of a parent: what rewrites a table takes the ownership of every child
# and partition, as ALTER TABLE does.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('parent');
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE victim LOGIN;
	GRANT CREATE ON SCHEMA public TO owner, victim;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO owner, victim;
	SET dbcrypt.keys = '';
	CREATE TABLE part (k int, s text) PARTITION BY LIST (k);
	CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1) PARTITION BY LIST (k);
	CREATE TABLE part_1_1 PARTITION OF part_1 FOR VALUES IN (1);
	CREATE TABLE parent (k int, s text);
	CREATE TABLE child () INHERITS (parent);
	INSERT INTO part VALUES (1, dbcrypt_encrypt('x'));
	INSERT INTO child VALUES (1, dbcrypt_encrypt('x'));
	ALTER TABLE part OWNER TO owner;
	ALTER TABLE part_1 OWNER TO owner;
	ALTER TABLE parent OWNER TO owner;
	ALTER TABLE part_1_1 OWNER TO victim;
	ALTER TABLE child OWNER TO victim});
my @owner = (extra_params => [ '-U', 'owner' ]);
my $k1 = key_id(key_hex(1));
foreach my $case ([ 'part', 'part_1_1' ], [ 'parent', 'child' ])
{
	my ($table, $child) = @$case;
	my $state = "SELECT relfilenode, s FROM pg_class, $child WHERE relname = '$child'";
	my $before = $node->safe_psql('postgres', $state);
	foreach my $call ("dbcrypt_delete_column('$table', 's', 'public.$table.s')", "dbcrypt_encrypt_column('$table', 's')",
		"dbcrypt_encrypt_column('$table', 's', dry_run => true)", "dbcrypt_decrypt_column('$table', 's')",
		"dbcrypt_decrypt_column('$table', 's', dry_run => true)")
	{
		like(psql_error($node, "SET dbcrypt.decrypt_keys = '$k1'; SELECT $call", @owner),
			qr/must be owner of table $child/, "not $call");
		is($node->safe_psql('postgres', $state), $before, "... and $child is as it was");
	}
	# It is not even locked.
	my $holder = new_session($node);
	$holder->query_safe("BEGIN; SELECT FROM $child");
	like(psql_error($node, "SET lock_timeout = '10s'; SELECT dbcrypt_delete_column('$table', 's', 'public.$table.s')", @owner),
		qr/must be owner of table $child/, 'refused before any lock');
	$holder->quit;
	# What an UPDATE of the parent may do, a rotation may, too.
	is($node->safe_psql('postgres', "SELECT rotated + current FROM dbcrypt_rotate('$table', 's')", @owner), 1, "rotation of $table");
	$node->safe_psql('postgres', "GRANT victim TO owner");
	is($node->safe_psql('postgres', "SELECT dbcrypt_delete_column('$table', 's', 'public.$table.s')", @owner), 1, 'a member of both owners may');
	$node->safe_psql('postgres', "REVOKE victim FROM owner");
}

# Conversion.
$node->safe_psql('postgres', q{
	CREATE TABLE adopted (k int, s text);
	CREATE TABLE adopted_child () INHERITS (adopted);
	ALTER TABLE adopted OWNER TO owner;
	ALTER TABLE adopted_child OWNER TO victim});
$node->safe_psql('postgres', q{SELECT dbcrypt_adopt('adopted', 's', 'lockbox')}, @owner);
like(psql_error($node, q{SELECT dbcrypt_convert('adopted', 's')}, @owner), qr/must be owner of table adopted_child/, 'not dbcrypt_convert');
$node->stop;
done_testing();
