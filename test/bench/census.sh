# Sourced by the benchmark: the census against the cheapest query that reads the same
# bytes, in line and out of line.

census_values=$((rows / 50))

census_prepare()
{
	sql "CREATE TABLE census_inline AS SELECT c || c || c AS a, c || c || c AS b FROM master"
	sql "CREATE TABLE census_toasted (a text);
		ALTER TABLE census_toasted ALTER a SET STORAGE EXTERNAL;
		INSERT INTO census_toasted SELECT
			(SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) AS j)
			FROM generate_series(1, $census_values) AS i"
}

# Both readings of both tables, once before they are measured: the caches are warm.
census_round()
{
	local table
	for table in census_inline census_toasted; do
		sql "SELECT count(*) FROM dbcrypt_census('$table')" >/dev/null
		record "$table" "$(query_ms "SELECT count(*) FROM dbcrypt_census('$table')")"
	done
	record length_inline "$(query_ms "SELECT sum(length(a::text)), sum(length(b::text)) FROM census_inline")"
	record length_toasted "$(query_ms "SELECT sum(length(a::text)) FROM census_toasted")"
}

census_report()
{
	echo "dbcrypt_census, against SELECT sum(length(column::text)) of all columns"
	report "values in line" ms "$(median census_inline)" "$(median length_inline)" slower 1.3
	report "values out of line" ms "$(median census_toasted)" "$(median length_toasted)" slower 1.3
}
