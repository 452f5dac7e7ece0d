# Hostile functions in an AAD: rotation in place opens every stored version of a row,
# and shows none that was deleted or rolled back to code of users.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('invisible', keys => [ key_hex(1) ], conf => "autovacuum = off\n");
my $holder = new_session($node);
$node->safe_psql('postgres', q{
	CREATE FUNCTION spy(secret text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN
		RAISE NOTICE 'sees %', secret;
		RETURN secret;
	END$$;
	CREATE OPERATOR ### (PROCEDURE = spy, RIGHTARG = text);
	CREATE DOMAIN watched AS text CHECK (spy(VALUE) IS NOT NULL);
	CREATE DOMAIN watched_key AS text CHECK (spy(VALUE) IS NOT NULL);
	CREATE TABLE t (k text, s text);
	CREATE TABLE d (k text, s watched);
	CREATE TABLE harmless (k text, s text);
});
foreach my $table (qw(t d harmless))
{
	$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
	my $aad = $table eq 'd' ? '' : ', k';
	$node->safe_psql('postgres', qq{
		INSERT INTO $table SELECT k, dbcrypt_encrypt('x'$aad) FROM unnest(ARRAY['visible', 'deleted']) k;
		DELETE FROM $table WHERE k = 'deleted';
		BEGIN;
		INSERT INTO $table SELECT k, dbcrypt_encrypt('x'$aad) FROM unnest(ARRAY['rolled back']) k;
		ROLLBACK});
	$holder->query_safe('COMMIT');
}
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
foreach my $case ([ 't', 'public.spy(k)' ], [ 't', '(OPERATOR(public.###) k)' ], [ 't', '(k::public.watched_key)::text' ], [ 'd', undef ])
{
	my ($table, $aad) = @$case;
	my $arguments = "'$table', 's'" . (defined $aad ? ", '$aad'" : '');
	my ($rc, $out, $err) = $node->psql('postgres', "CALL dbcrypt_rotate_in_place($arguments)");
	unlike($err, qr/sees .*(?:deleted|rolled back)/, 'in place shows no row that is gone: ' . ($aad // 'a domain'));
	unlike($err, qr/sees dbc1/, '... and no value');
	like($err, qr/ERROR:  cannot rotate column "s" of table "$table" in place\nDETAIL:  .*not PostgreSQL's own.*\nHINT:  Use dbcrypt_rotate_online/,
		'... but refuses');
}
my ($rc, $out, $err) = $node->psql('postgres', q{CALL dbcrypt_rotate_online('t', 's', 'public.spy(k)')});
like($err, qr/sees visible/, 'online evaluates the function');
unlike($err, qr/sees .*(?:deleted|rolled back)/, '... for rows that are there');
is($out, '1|1|0|0|0', '... and rotates them');
is($node->safe_psql('postgres', q{CALL dbcrypt_rotate_in_place('harmless', 's', 'k')}) =~ s/\|.*//r, 3,
	'in place rotates every version where only PostgreSQL\'s own functions look at it');
$holder->quit;
$node->stop;
done_testing();
