# What a session keeps of encrypting triggers and of dbcrypt_columns from one statement
# to the next: whatever another session commits counts from the next statement on.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use Test::More;

my $node = new_node('main');
my $trigger = 'BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(%s)';
my $writer = new_session($node);
my $id = 0;

sub elsewhere
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# Inserts a row in the open session; what is said of it.
sub insert_error
{
	my ($table) = @_;
	$id++;
	return (run_sql($writer, "INSERT INTO $table (id, owner, c) VALUES ($id, 'ann', 'secret')"))[1];
}

# Asserts that a row comes in, and that it is encrypted with this AAD.
sub insert_ok
{
	my ($table, $aad, $name) = @_;
	is(insert_error($table), '', $name);
	is(elsewhere("SELECT dbcrypt_decrypt(c, $aad) FROM $table WHERE id = $id"), 'secret', "$name: it opens");
	return;
}

sub insert_fails
{
	my ($table, $error, $name) = @_;
	like(insert_error($table), $error, $name);
	return;
}

### the trigger, and the columns of its table

elsewhere('CREATE TABLE t (id int, owner text, c text); CREATE TRIGGER e ' . sprintf($trigger, 't', q{'c', 'owner'})
	  . q{; SELECT dbcrypt_register_column('t', 'c', 'owner')});
insert_ok('t', 'owner', 'a first row');
insert_ok('t', 'owner', 'a second one');
elsewhere(q{BEGIN; DROP TRIGGER e ON t; SELECT dbcrypt_unregister_column('t', 'c'); CREATE TRIGGER e }
	  . sprintf($trigger, 't', q{'c', 'id'}) . q{; SELECT dbcrypt_register_column('t', 'c', 'id'); COMMIT});
insert_ok('t', 'id::text', 'another AAD');
elsewhere('ALTER TABLE t DROP owner; ALTER TABLE t ADD owner text');
insert_ok('t', 'id::text', 'a column dropped, another added');
elsewhere('CREATE TABLE short (id int, owner text, c varchar(400)); CREATE TRIGGER e ' . sprintf($trigger, 'short', q{'c'}));
insert_ok('short', q{''}, 'a table without registration');
elsewhere('TRUNCATE short; ALTER TABLE short ALTER c TYPE varchar(20)');
insert_fails('short', qr/value too long for type character varying\(20\)/, 'a narrower type');
elsewhere('ALTER TABLE short ALTER c TYPE text');
insert_ok('short', q{''}, 'a wider one');

### rows of dbcrypt_columns, by whoever writes them

my $adopt = q{UPDATE dbcrypt_columns SET scheme = '%s' WHERE "table" = 't'};
my $adopted = qr/is adopted with scheme lockbox/;
elsewhere(sprintf $adopt, 'lockbox');
insert_fails('t', $adopted, 'a superuser has changed the registration');
elsewhere(sprintf $adopt, 'native');
insert_ok('t', 'id::text', 'and back');
elsewhere('CREATE TABLE saved AS SELECT * FROM dbcrypt_columns; TRUNCATE dbcrypt_columns');
elsewhere(q{UPDATE saved SET scheme = 'lockbox' WHERE "table" = 't'});
insert_ok('t', 'id::text', 'no registration');
elsewhere("COPY saved TO '" . $node->basedir . "/saved'; COPY dbcrypt_columns FROM '" . $node->basedir . "/saved'");
insert_fails('t', $adopted, 'rows that COPY brings');
elsewhere('DELETE FROM dbcrypt_columns');
insert_ok('t', 'id::text', 'rows deleted');
elsewhere(q{SELECT dbcrypt_register_column('t', 'c', 'id')});
run_sql($writer, 'BEGIN');
run_sql($writer, sprintf $adopt, 'lockbox');
insert_fails('t', $adopted, 'a change of this transaction');
run_sql($writer, 'ROLLBACK');
insert_ok('t', 'id::text', 'rolled back');
run_sql($writer, 'BEGIN; SAVEPOINT s');
run_sql($writer, sprintf $adopt, 'lockbox');
run_sql($writer, 'ROLLBACK TO s');
is(insert_error('t'), '', 'a subtransaction rolled back');
run_sql($writer, 'COMMIT');
# In one transaction, where the table is locked already.
run_sql($writer, 'BEGIN');
insert_error('t');
elsewhere(sprintf $adopt, 'lockbox');
insert_fails('t', $adopted, 'between two statements of a transaction');
run_sql($writer, 'ROLLBACK');
elsewhere(sprintf $adopt, 'native');
# With the trigger that announces changes disabled, every statement reads the table.
elsewhere('ALTER TABLE dbcrypt_columns DISABLE TRIGGER dbcrypt_columns_changed');
insert_ok('t', 'id::text', 'unannounced');
elsewhere(sprintf $adopt, 'lockbox');
insert_fails('t', $adopted, 'an unannounced change');
elsewhere(sprintf $adopt, 'native');
insert_ok('t', 'id::text', 'and back');
elsewhere('ALTER TABLE dbcrypt_columns ENABLE ALWAYS TRIGGER dbcrypt_columns_changed');

### what names lead to

elsewhere(q{CREATE SCHEMA s; CREATE TABLE s.u (id int, owner text, c text); CREATE TRIGGER e } . sprintf($trigger, 's.u', q{'c'})
	  . q{; SELECT dbcrypt_register_column('s.u', 'c')});
insert_ok('s.u', q{''}, 'a table of another schema');
elsewhere('ALTER EVENT TRIGGER dbcrypt_columns_renamed DISABLE; ALTER SCHEMA s RENAME TO s2');
insert_fails('s2.u', qr/cannot tell how column "c" is registered/, 'a schema renamed behind the registry');
elsewhere('ALTER SCHEMA s2 RENAME TO s; ALTER EVENT TRIGGER dbcrypt_columns_renamed ENABLE ALWAYS');
insert_ok('s.u', q{''}, 'and back');

### tables above

elsewhere(q{
	CREATE TABLE top (id int, owner text, c text) PARTITION BY LIST (owner);
	SELECT dbcrypt_adopt('top', 'c', 'lockbox');
	CREATE TABLE middle (id int, owner text, c text) PARTITION BY LIST (owner);
	CREATE TABLE bottom PARTITION OF middle DEFAULT;
	CREATE TRIGGER e } . sprintf($trigger, 'bottom', q{'c'}));
insert_ok('bottom', q{''}, 'a partition of a table without registration');
elsewhere(q{ALTER TABLE top ATTACH PARTITION middle FOR VALUES IN ('ann')});
insert_fails('bottom', $adopted, 'which comes under a registered one');

### privileges and roles, where the AAD runs as whoever writes

elsewhere(q{
	CREATE ROLE may; CREATE ROLE may_not;
	CREATE TABLE hashed (id int, owner text, c text);
	GRANT ALL ON hashed TO may, may_not;
	REVOKE EXECUTE ON FUNCTION pg_catalog.md5(text) FROM PUBLIC;
	GRANT EXECUTE ON FUNCTION pg_catalog.md5(text) TO may;
	CREATE TRIGGER e } . sprintf($trigger, 'hashed', q{'c', 'md5(owner)'}));
my $denied = qr/permission denied for function md5/;
run_sql($writer, 'SET ROLE may');
insert_ok('hashed', 'md5(owner)', 'who may call the function');
run_sql($writer, 'SET ROLE may_not');
insert_fails('hashed', $denied, 'who may not');
run_sql($writer, 'SET ROLE may');
insert_ok('hashed', 'md5(owner)', 'who may, again');
elsewhere('REVOKE EXECUTE ON FUNCTION pg_catalog.md5(text) FROM may');
insert_fails('hashed', $denied, 'who may no more');
elsewhere('CREATE ROLE granted; GRANT EXECUTE ON FUNCTION pg_catalog.md5(text) TO granted; GRANT granted TO may');
insert_ok('hashed', 'md5(owner)', 'who may as a member of a role');
elsewhere('REVOKE granted FROM may');
insert_fails('hashed', $denied, 'who is one no more');
run_sql($writer, 'RESET ROLE');
elsewhere('GRANT EXECUTE ON FUNCTION pg_catalog.md5(text) TO PUBLIC');

### code of users that calls the trigger again

elsewhere(q{
	CREATE TABLE deep (id int, owner text, c text);
	CREATE FUNCTION writes(text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF pg_trigger_depth() = 1 AND current_setting('test.busy', true) IS DISTINCT FROM 'yes' THEN
			PERFORM set_config('test.busy', 'yes', false);
			INSERT INTO deep VALUES (2, 'inner', 'of the check');
		END IF;
		RETURN true;
	END $$;
	CREATE DOMAIN checked AS text CHECK (writes(VALUE));
	ALTER TABLE deep ALTER c TYPE checked;
	CREATE TRIGGER e } . sprintf($trigger, 'deep', q{'c', 'owner'}));
elsewhere(q{INSERT INTO deep VALUES (1, 'outer', 'of the caller')});
is( elsewhere('SELECT owner, dbcrypt_decrypt(c, owner) FROM deep ORDER BY 1'),
	"inner|of the check\nouter|of the caller", 'each row keeps its own value and AAD');

### memory

elsewhere(q{
	CREATE TABLE many (id int, owner text, c text) PARTITION BY LIST (id);
	DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES IN (%s)', i, i); END LOOP; END $$;
	CREATE TRIGGER e } . sprintf($trigger, 'many', q{'c', 'owner'}));
my ($memory) = run_sql($writer, q{
	INSERT INTO many SELECT i, 'ann', 'secret' FROM generate_series(1, 500) i;
	SELECT count(*), sum(total_bytes) / count(*) <= 8 * 1024 FROM pg_backend_memory_contexts WHERE name = 'dbcrypt trigger'});
like($memory, qr/^5\d\d\|t$/, 'little is kept for each partition');
is(elsewhere('SELECT count(DISTINCT dbcrypt_decrypt(c, owner)), count(*) FROM many'), '1|500', 'each value opens');

elsewhere(q{
	DO $$ BEGIN
		FOR i IN 1..200 LOOP
			EXECUTE format('CREATE TABLE one_%s (c text)', i);
			PERFORM dbcrypt_register_column(format('one_%s', i)::regclass, 'c');
		END LOOP;
	END $$});
my $peak = q{SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')};
SKIP:
{
	skip 'no /proc', 2 unless -e '/proc/self/status';
	foreach my $all (qw(dbcrypt_verify_all dbcrypt_rotate_all))
	{
		run_sql($writer, q{SELECT dbcrypt_verify('one_1', 'c')});
		my ($before) = run_sql($writer, $peak);
		run_sql($writer, "SELECT $all()");
		my ($after) = run_sql($writer, $peak);
		cmp_ok($after - $before, '<', 20_000, "$all() takes the memory of one column");
	}
}

$writer->quit;
$node->stop;
done_testing();
