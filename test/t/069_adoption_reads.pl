# What adoption reads: every value of a small column, and of a large one blocks from all
# over its table and partitions, the first and the last among them.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('adoption');

# Twenty values of the scheme, to fill tables with.
$node->safe_psql('postgres', q{
	CREATE TABLE few (id int, v text);
	SELECT dbcrypt_adopt('few', 'v', 'lockbox', '{"table": "t", "attribute": "v"}');
	INSERT INTO few SELECT i, '¡' || i FROM generate_series(0, 19) i;
	SELECT dbcrypt_encrypt_column('few', 'v');
});
my $options = q{'lockbox', '{"table": "t", "attribute": "v"}'};

sub adopt { my ($table) = @_; return $node->safe_psql('postgres', "SELECT * FROM dbcrypt_adopt('$table', 'v', $options)") }
sub refusal { my ($table) = @_; return psql_error($node, "SELECT * FROM dbcrypt_adopt('$table', 'v', $options)") }
sub forget { my ($table) = @_; $node->safe_psql('postgres', "SELECT dbcrypt_unregister_column('$table', 'v')"); return }

### a small table: all of it

$node->safe_psql('postgres', q{CREATE TABLE small AS SELECT i AS id, v FROM generate_series(1, 5000) i JOIN few ON few.id = i % 20 ORDER BY 1;
	INSERT INTO small VALUES (5001, NULL), (5002, '')});
is(adopt('small'), '5000|f', 'every value is read');
forget('small');
$node->safe_psql('postgres', q{INSERT INTO small VALUES (5003, 'bad')});
like(refusal('small'), qr/cannot adopt column "v" of table "small": a value does not decrypt\nDETAIL:  Table public.small, row \(\d+,\d+\)\.\nHINT:  It does not say which key it is under: see that the application's key is in dbcrypt.key_file, that the options table and attribute are the names which its key is derived with, that the option aad gives the bytes it is bound to\./,
	'the last one too');

### a large one: a row a page, 8 kB each

sub fill
{
	my ($table, $first, $last) = @_;
	$node->safe_psql('postgres', qq{INSERT INTO $table SELECT i, v, repeat('x', 700) FROM generate_series($first, $last) i JOIN few ON few.id = i % 20 ORDER BY i});
	return;
}
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE large (id int, v text, padding text) WITH (fillfactor = 10)');
fill('large', 1, 17000);
is($node->safe_psql('postgres', q{SELECT pg_relation_size('large') / 8192}), 17000, 'a large table');
is(adopt('large'), '2000|t', 'of a large table a sample is read');
forget('large');
$node->safe_psql('postgres', q{UPDATE large SET v = 'bad', padding = '' WHERE ctid = '(16999,1)'});
like(refusal('large'), qr/Table public.large, row \(16999,2\)/, 'the last block is in it');
$node->safe_psql('postgres', q{UPDATE large SET v = few.v FROM few WHERE large.v = 'bad' AND few.id = 1; UPDATE large SET v = 'bad', padding = '' WHERE ctid = '(0,1)'});
like(refusal('large'), qr/Table public.large, row \(0,2\)/, 'and the first');
# What a sample passes over, dbcrypt_verify does not.
$node->safe_psql('postgres', q{UPDATE large SET v = few.v FROM few WHERE large.v = 'bad' AND few.id = 1; UPDATE large SET v = 'bad', padding = '' WHERE ctid = '(1,1)'});
is(adopt('large'), '2000|t', 'a block between two of the sample');
is($node->safe_psql('postgres', q{SELECT state, "values" FROM dbcrypt_verify('large', 'v') ORDER BY 1}), "failed|1\nprimary|16999", 'which dbcrypt_verify opens');
$node->safe_psql('postgres', q{DROP TABLE large});

### partitions: one sample of all

$node->safe_psql('postgres', q{CREATE TABLE parts (id int, v text, padding text) PARTITION BY RANGE (id);
	CREATE UNLOGGED TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10001) WITH (fillfactor = 10);
	CREATE UNLOGGED TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10001) TO (20001) WITH (fillfactor = 10)});
fill('parts', 1, 20000);
is(adopt('parts'), '2000|t', 'of partitions that are large together, too');
forget('parts');
$node->safe_psql('postgres', q{UPDATE parts_2 SET v = 'bad', padding = '' WHERE ctid = '(9999,1)'});
like(refusal('parts'), qr/Table public.parts_2, row \(9999,2\)/, 'to the end of the last');
$node->stop;

done_testing();
