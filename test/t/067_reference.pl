# docs/reference.md names every function, procedure, table, view and setting with its
# arguments, columns and default, and every error of the table in errors.c: compared
# with the server's catalogs, in both directions.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PageTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
plan skip_all => 'the page is not here' unless -f "$root/docs/reference.md";
my $page = slurp_file("$root/docs/reference.md");
my $node = new_node('reference');

sub in_catalog { return [ split /\n/, $node->safe_psql('postgres', $_[0]) ] }

# Functions: name(argument type = default, …) → result
my @functions = sort $page =~ /\*\*`(dbcrypt_\w+\([^`]*)`\*\*/g;
is_deeply(\@functions, [ sort @{ in_catalog(q{
	SELECT p.proname || '(' || coalesce(a.list, '') || ')' ||
		coalesce(' → ' || coalesce(o.list, CASE WHEN p.prokind <> 'p' THEN format_type(p.prorettype, NULL) END), '')
	  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	  JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'dbcrypt'
	 CROSS JOIN LATERAL (
		SELECT string_agg(concat_ws(' ', CASE n.mode WHEN 'v' THEN 'VARIADIC' END, quote_ident(nullif(n.name, '')),
					format_type(CASE n.mode WHEN 'v' THEN '"any"'::regtype ELSE n.type END, NULL),
					'= ' || regexp_replace(pg_get_function_arg_default(p.oid, n.number::int), '::[a-z ]+(\[\])?$', '')),
				', ' ORDER BY n.number) AS list
		  FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes::text[])
		       WITH ORDINALITY AS n (type, name, mode, number)
		 WHERE n.type IS NOT NULL AND coalesce(n.mode, 'i') IN ('i', 'v') OR n.mode = 'b' AND p.prokind <> 'p') a
	 CROSS JOIN LATERAL (
		SELECT string_agg(n.name, ', ' ORDER BY n.number) AS list
		  FROM unnest(p.proargnames, p.proargmodes::text[]) WITH ORDINALITY AS n (name, mode, number)
		 WHERE n.mode IN ('o', 'b')) o}) } ], 'functions, with their arguments and results');

# Tables and views: name (column, …)
is_deeply([ sort $page =~ /\*\*`(dbcrypt_\w+ \([^`]*\))`\*\*/g ], in_catalog(q{
	SELECT format('%s (%s)', c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum)) COLLATE "C"
	  FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	 WHERE c.relkind IN ('r', 'v') AND c.relname LIKE 'dbcrypt%' GROUP BY c.relname ORDER BY 1}), 'tables and views, with their columns');

my $triggers = join ' ', @{ in_catalog(q{SELECT evtname FROM pg_event_trigger ORDER BY 1}) };
is($triggers, 'dbcrypt_columns_dropped dbcrypt_columns_prepare dbcrypt_columns_renamed', 'three event triggers');
like($page, qr/`$_`/, "$_ is named") foreach split / /, $triggers;

# Settings: name, default, context. PostgreSQL hides dbcrypt.keys from pg_settings.
my (%settings, $rows);
$rows = section($page, 'Settings');
$settings{$1} = [ $2, $3 ] while $rows =~ /^\| `(dbcrypt\.\w+)` \| *(.*?) *\| (\w+) \|/gm;
is_deeply(delete $settings{'dbcrypt.keys'}, [ '', 'superuser' ], 'dbcrypt.keys');
is_deeply([ map { join '|', $_, @{ $settings{$_} } } sort keys %settings ],
	in_catalog("SELECT name, boot_val, context FROM pg_settings WHERE name LIKE 'dbcrypt.%' ORDER BY name"),
	'settings, with default and context');

# Errors: message and SQLSTATE, of the table in errors.c.
my %sqlstate = (
	ERRCODE_CONFIG_FILE_ERROR => 'F0000', ERRCODE_DATA_EXCEPTION => '22000', ERRCODE_FEATURE_NOT_SUPPORTED => '0A000',
	ERRCODE_INSUFFICIENT_PRIVILEGE => '42501', ERRCODE_INTERNAL_ERROR => 'XX000',
	ERRCODE_INVALID_TEXT_REPRESENTATION => '22P02', ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE => '55000',
	ERRCODE_OUT_OF_MEMORY => '53200', ERRCODE_PROGRAM_LIMIT_EXCEEDED => '54000', ERRCODE_UNDEFINED_OBJECT => '42704');
my $source = slurp_file("$root/src/pg/support/errors.c");
my ($table) = $source =~ /status_errors\[\] = \{(.*?)\n\};/s;
my @errors;
while ($table =~ /\{(ERRCODE_\w+),((?:\s*"[^"]*")+),/g)
{
	my ($code, $strings) = ($1, $2);
	my $message = join '', $strings =~ /"([^"]*)"/g;
	push @errors, $message =~ s/%s/…/r . ' | ' . ($sqlstate{$code} // $code);
}
cmp_ok(scalar @errors, '>=', 15, 'errors.c is read');
my ($first) = section($page, 'Errors') =~ /(.*?)^Of the others/ms;
is_deeply([ $first =~ /^\| (.*? \| \w{5}) \|/gm ], \@errors, 'errors, with their SQLSTATE');
$node->stop;
done_testing();
