# What the random walk (test/t/059_random_walk.pl) stands on: a database with tables of
# every kind, writers that keep a hash of each plaintext beside their work, and what must
# hold after every step.
package WalkTest;

use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw(%table %copy walk_setup start_writers stop_writers wait_for_writers trigger_sql qualified
  remember_copy broken_invariants);

# Where the tables are now: schema, name, column, registered; kind is text or bytea.
# Each binds its values to the row's id, so that a value can move between them.
our %table = (
	plain => { kind => 'text' },
	parts => { kind => 'text', partitioned => 1 },
	toasted => { kind => 'text' },
	bytes => { kind => 'bytea' });

# Copies: name => { value (SQL of the value), registered, view }.
our %copy;

my $writers = 4;
my @running;

# A table's name with its schema.
sub qualified
{
	my ($role) = @_;
	return "$table{$role}{schema}.$table{$role}{name}";
}

sub trigger_sql
{
	my ($role, $name) = @_;
	return sprintf 'CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON %s FOR EACH ROW '
	  . "EXECUTE FUNCTION dbcrypt_encrypt_trigger('%s', 'id');",
	  $name // qualified($role), $table{$role}{column};
}

# Bookkeeping. A writer holds a table's row in walk.live while it uses its name; who
# renames the table updates that row first.
my $bookkeeping = q{
CREATE SCHEMA walk;
CREATE TABLE walk.live (role text PRIMARY KEY, name text NOT NULL, col text NOT NULL, kind text NOT NULL, big bool);
CREATE TABLE walk.shadow (id bigint PRIMARY KEY, h text NOT NULL);
CREATE TABLE walk.copied (copy text, id bigint, h text);
CREATE TABLE walk.leftovers (id bigint, h text, v text);
CREATE TABLE walk.errors (state text, message text, context text);
CREATE TABLE walk.go (go bool);
CREATE SEQUENCE walk.ids;
CREATE SEQUENCE walk.deeds;

-- The plaintext of a value in a column that may be decrypted at the moment.
CREATE FUNCTION walk.plain(v text, id bigint) RETURNS text LANGUAGE sql STABLE AS
$$SELECT CASE WHEN public.dbcrypt_is_encrypted(v) THEN public.dbcrypt_decrypt(v, id::text) ELSE v END$$;
CREATE FUNCTION walk.plain(v bytea, id bigint) RETURNS text LANGUAGE sql STABLE AS
$$SELECT convert_from(CASE WHEN public.dbcrypt_is_encrypted(v) THEN public.dbcrypt_decrypt(v, id::text) ELSE v END, 'UTF8')$$;

-- A table's rows, for views that shall not depend on it.
CREATE FUNCTION walk.rows_of(wanted text) RETURNS TABLE (id bigint, v text) LANGUAGE plpgsql AS $$
DECLARE
	one walk.live;
BEGIN
	SELECT * INTO one FROM walk.live WHERE role = wanted;
	RETURN QUERY EXECUTE format('SELECT id, %I FROM %s', one.col, one.name);
END$$;

-- A new plaintext, which never begins as an envelope does; a big one compresses badly and
-- is stored out of line.
CREATE FUNCTION walk.secret(big bool) RETURNS text LANGUAGE sql VOLATILE AS
$$SELECT 'secret ' || string_agg(md5(random()::text), '') FROM generate_series(1, CASE WHEN big THEN 90 ELSE 1 END)$$;

-- SQL of a plaintext ($2) as the application writes it: plain, or encrypted for id $1.
CREATE FUNCTION walk.written(one walk.live, encrypted bool) RETURNS text LANGUAGE sql AS
$$SELECT format(CASE WHEN encrypted THEN 'public.dbcrypt_encrypt(%s, $1::text)' ELSE '%s' END,
	CASE WHEN one.kind = 'bytea' THEN 'convert_to($2, ''UTF8'')' ELSE '$2' END)$$;

CREATE FUNCTION walk.insert(one walk.live) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	key bigint = nextval('walk.ids');
	secret text = walk.secret(one.big);
BEGIN
	EXECUTE format('INSERT INTO %s (id, region, %I, n) VALUES ($1, $1 %% 3, %s, 0)',
		one.name, one.col, walk.written(one, random() < 0.5)) USING key, secret;
	INSERT INTO walk.shadow VALUES (key, md5(secret));
END$$;

-- One random deed of an application.
CREATE FUNCTION walk.deed() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	one walk.live;
	two walk.live;
	dice float8 = random();
	key bigint;
	secret text;
	found_rows int;
BEGIN
	SELECT * INTO one FROM walk.live WHERE role = (SELECT role FROM walk.live ORDER BY random() LIMIT 1) FOR SHARE;
	EXECUTE format('SELECT id FROM %s ORDER BY random() LIMIT 1', one.name) INTO key;
	IF dice < 0.15 AND (SELECT count(*) < 1500 FROM walk.shadow) OR key IS NULL THEN
		PERFORM walk.insert(one);
	ELSIF dice < 0.3 THEN
		secret = walk.secret(one.big);
		EXECUTE format('UPDATE %s SET %I = %s WHERE id = $1', one.name, one.col, walk.written(one, random() < 0.5))
			USING key, secret;
		GET DIAGNOSTICS found_rows = ROW_COUNT;
		IF found_rows > 0 THEN
			UPDATE walk.shadow SET h = md5(secret) WHERE id = key;
		END IF;
	ELSIF dice < 0.5 THEN
		EXECUTE format('UPDATE %s SET n = n + 1, region = (region + 1) %% 3 WHERE id = $1', one.name) USING key;
	ELSIF dice < 0.65 THEN
		EXECUTE format('DELETE FROM %s WHERE id = $1', one.name) USING key;
		GET DIAGNOSTICS found_rows = ROW_COUNT;
		IF found_rows > 0 THEN
			DELETE FROM walk.shadow WHERE id = key;
			PERFORM walk.insert(one);
		END IF;
	ELSIF dice < 0.8 AND one.kind = 'text' THEN
		-- The value moves as it is.
		SELECT * INTO two FROM walk.live WHERE kind = 'text' AND role > one.role LIMIT 1 FOR SHARE;
		IF two.role IS NOT NULL THEN
			EXECUTE format('WITH gone AS (DELETE FROM %s WHERE id = $1 RETURNING id, region, %I AS v, n)
				INSERT INTO %s (id, region, %I, n) SELECT * FROM gone', one.name, one.col, two.name, two.col) USING key;
		END IF;
	ELSIF dice < 0.95 AND one.kind = 'text' AND (SELECT count(*) < 20 FROM walk.leftovers) THEN
		-- Reads now and writes the same ciphertext later.
		EXECUTE format('SELECT %I, md5(walk.plain(%1$I, id)) FROM %2$s WHERE id = $1', one.col, one.name)
			INTO secret, two.name USING key;
		PERFORM pg_sleep(random() * 0.3);
		IF secret IS NOT NULL THEN
			INSERT INTO walk.leftovers VALUES (key, two.name, secret);
		END IF;
	ELSE
		DELETE FROM walk.leftovers WHERE ctid = (SELECT ctid FROM walk.leftovers ORDER BY random() LIMIT 1);
	END IF;
END$$;

-- Deeds until it is told to stop.
CREATE PROCEDURE walk.write(seed float8) LANGUAGE plpgsql AS $$
DECLARE
	context text;
BEGIN
	PERFORM setseed(seed);
	WHILE (SELECT go FROM walk.go) LOOP
		PERFORM nextval('walk.deeds'), set_config('default_transaction_isolation',
			CASE WHEN random() < 0.4 THEN 'repeatable read' ELSE 'read committed' END, false);
		COMMIT;
		BEGIN
			PERFORM walk.deed();
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
			INSERT INTO walk.errors VALUES (sqlstate, sqlerrm, context);
		END;
		COMMIT;
		PERFORM pg_sleep(0.02 * random());
		COMMIT;
	END LOOP;
END$$;
};

# What a writer may meet: conflicts with others, and keys that are taken from it.
my $expected_errors = q{state IN ('40001', '40P01') OR message ~ 'encryption key [0-9a-f]+ is (revoked|retired)'};

# The tables, filled, registered and with their triggers.
sub walk_setup
{
	my ($node, $rows) = @_;
	my $sql = $bookkeeping;
	foreach my $role (sort keys %table)
	{
		my $t = $table{$role};
		@{$t}{qw(schema name column registered)} = ("s_$role", "t_$role", 'v', 1);
		$sql .= "CREATE SCHEMA $t->{schema};\nCREATE TABLE " . qualified($role)
		  . " (id bigint, region int, v $t->{kind}, n int)"
		  . ($t->{partitioned} ? ' PARTITION BY LIST (region)' : '') . ";\n";
		$sql .= "CREATE TABLE $t->{schema}.part_$_ PARTITION OF ${\qualified($role)} FOR VALUES IN ($_);\n"
		  foreach $t->{partitioned} ? (0 .. 2) : ();
		$sql .= ($t->{partitioned} ? "CREATE INDEX ON ${\qualified($role)} (id)" : "ALTER TABLE ${\qualified($role)} ADD PRIMARY KEY (id)")
		  . ";\nINSERT INTO walk.live VALUES ('$role', '${\qualified($role)}', 'v', '$t->{kind}', "
		  . ($role eq 'toasted' ? 'true' : 'false') . ");\n";
		$sql .= "SELECT dbcrypt_register_column('${\qualified($role)}', 'v', 'id');\n" . trigger_sql($role);
	}
	$sql .= "INSERT INTO walk.go VALUES (true);\n"
	  . "SELECT walk.insert(l) FROM walk.live l, generate_series(1, $rows) i WHERE i <= CASE WHEN big THEN $rows / 5 ELSE $rows END;\n";
	$node->safe_psql('postgres', $sql);
	return;
}

# Starts what writes. A restart of the server ends it.
sub start_writers
{
	my ($node, $seed) = @_;
	foreach my $writer (1 .. $writers)
	{
		local $ENV{PGOPTIONS} = '-c statement_timeout=0';
		push @running, IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', sprintf('CALL walk.write(%f)', ($seed + $writer) % 1000 / 1000) ],
			'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
	}
	return;
}

# Ends them; after a crash they have ended by themselves.
sub stop_writers
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'UPDATE walk.go SET go = false');
	eval { $_->finish } foreach @running;
	@running = ();
	$node->safe_psql('postgres', 'UPDATE walk.go SET go = true');
	return;
}

# Waits until every writer writes, and they have done some more. A test beside writers
# that do nothing would prove nothing.
sub wait_for_writers
{
	my ($node) = @_;
	my $done = $node->safe_psql('postgres', 'SELECT last_value FROM walk.deeds');
	$node->poll_query_until('postgres', qq{SELECT last_value > $done + 2 * $writers AND
		(SELECT count(*) = $writers FROM pg_stat_activity WHERE query LIKE 'CALL walk.write%') FROM walk.deeds})
	  or die 'the writers do not write';
	return;
}

# Notes what a copy's values are, so that they can be proved for as long as it is there.
sub remember_copy
{
	my ($name) = @_;
	return "INSERT INTO walk.copied SELECT '$name', id, md5(walk.plain($copy{$name}{value}, id)) FROM $name;";
}

# Every value of the application's tables against the shadow, under one snapshot.
sub lost_values
{
	my ($ask) = @_;
	my $now = join ' UNION ALL ', map { "SELECT id, walk.plain($table{$_}{column}, id) AS p FROM " . qualified($_) } sort keys %table;
	my $counts = $ask->(qq{SELECT count(*) FILTER (WHERE s.id IS NULL), count(*) FILTER (WHERE t.id IS NULL),
		count(*) FILTER (WHERE md5(p) IS DISTINCT FROM h), count(*) - count(DISTINCT coalesce(t.id, s.id))
		FROM ($now) t FULL JOIN walk.shadow s USING (id)});
	my @broken = $counts eq '0|0|0|0' ? () : ("values against the shadow (unknown|lost|changed|double): $counts");
	foreach my $name (sort keys %copy)
	{
		my $wrong = $ask->("SELECT count(*) FROM $name t FULL JOIN (SELECT * FROM walk.copied WHERE copy = '$name') c USING (id)
			WHERE md5(walk.plain($copy{$name}{value}, id)) IS DISTINCT FROM h");
		push @broken, "values of copy $name: $wrong" if $wrong ne '0';
	}
	my $leftovers = $ask->('SELECT count(*) FROM walk.leftovers WHERE md5(walk.plain(v, id)) IS DISTINCT FROM h');
	push @broken, "leftovers: $leftovers" if $leftovers ne '0';
	return @broken;
}

# Values under a revoked key, found by the census and by a search of every row's text.
sub revoked_values
{
	my ($ask) = @_;
	my @broken = map { "census: $_" } split /\n/, $ask->(q{SELECT c FROM dbcrypt_census() c
		WHERE state NOT IN ('registered', 'unregistered', 'looks encrypted')
		OR key_id IN (SELECT key_id FROM dbcrypt_keys WHERE revoked_at IS NOT NULL)});
	my @tables = split /\n/, $ask->(q{SELECT c.oid::regclass FROM pg_class c
		WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
		AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')});
	my $headers = $ask->(q{SELECT string_agg(encode(h, 'base64') || '|' || encode(h, 'hex'), '|') FROM
		(SELECT decode('75b73501' || key_id || '00', 'hex') AS h FROM dbcrypt_keys WHERE revoked_at IS NOT NULL) x});
	return @broken if $headers eq '';
	$headers =~ s/\+/\\+/g;
	my $search = join ' UNION ALL ', map { "SELECT '$_' AS place, count(*) AS n FROM $_ AS x WHERE x::text ~ '$headers'" } @tables;
	push @broken, map { "text search: $_" } split /\n/, $ask->("SELECT * FROM ($search) x WHERE n > 0");
	return @broken;
}

# What does not hold of the database that should, a line each.
sub broken_invariants
{
	my ($node) = @_;
	my @broken;
	my $ask = sub {
		my ($rc, $out, $err) = $node->psql('postgres', $_[0]);
		push @broken, $err if $rc != 0;
		return $rc == 0 ? $out : '';
	};
	my @found = (lost_values($ask), revoked_values($ask));
	push @found, map { "check: $_" } split /\n/, $ask->(q{SELECT c FROM dbcrypt_check() c WHERE severity = 'error'});
	push @found, map { "writer: $_" } split /\n\n/, $ask->(
		"WITH e AS (DELETE FROM walk.errors WHERE NOT ($expected_errors) RETURNING *) SELECT e::text || E'\\n' FROM e");
	my @expected = sort((map { "${\qualified($_)}.$table{$_}{column}|t" } grep { $table{$_}{registered} } keys %table),
		(map { "$_.$copy{$_}{value}|t" } grep { $copy{$_}{registered} } keys %copy));
	my $registry = $ask->(q{SELECT concat_ws('.', "schema", "table", "column"), EXISTS (SELECT FROM pg_attribute a
		WHERE a.attrelid = c.relid AND a.attnum = c.attnum AND a.attname = c."column"
		AND a.attrelid = format('%I.%I', c."schema", c."table")::regclass) FROM dbcrypt_columns c});
	$registry = join "\n", sort split /\n/, $registry;
	push @found, "registry: $registry\nexpected: @expected" if $registry ne join "\n", @expected;
	return (@broken, @found);
}

1;
