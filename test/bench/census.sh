# Sourced by the benchmark: the census against the cheapest query that reads the same
# bytes, in line and out of line, and in JSON within JSON, which is full of backslashes.
# In CPU time, which other work on the machine changes least.

census_values=$((rows / 50))

census_prepare()
{
	sql "CREATE TABLE census_inline AS SELECT c || c || c AS a, c || c || c AS b FROM master"
	sql "CREATE TABLE census_toasted (a text);
		ALTER TABLE census_toasted ALTER a SET STORAGE EXTERNAL;
		INSERT INTO census_toasted SELECT
			(SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) AS j)
			FROM generate_series(1, $census_values) AS i"
	sql "CREATE TABLE census_json AS SELECT json_build_object('message', jsonb_pretty(jsonb_build_object(
			'id', id, 'category', category, 'words', jsonb_build_array(c, 'two', E'lines\nof it')))::text) AS a
			FROM master"
}

# Both readings of each table, once before they are measured: the caches are warm.
census_round()
{
	local table columns
	for table in census_inline census_toasted census_json; do
		columns="sum(length(a::text))"
		[ "$table" != census_inline ] || columns="$columns, sum(length(b::text))"
		sql "SELECT count(*) FROM dbcrypt_census('$table')" >/dev/null
		record "$table" "$(cpu_ms "SELECT count(*) FROM dbcrypt_census('$table')")"
		record "length_$table" "$(cpu_ms "SELECT $columns FROM $table")"
	done
}

census_report()
{
	echo "dbcrypt_census, against SELECT sum(length(column::text)) of all columns, CPU time"
	report "values in line" ms "$(median census_inline)" "$(median length_census_inline)" slower 1.3
	report "values out of line" ms "$(median census_toasted)" "$(median length_census_toasted)" slower 1.3
	report "JSON within JSON" ms "$(median census_json)" "$(median length_census_json)" slower 1.3
}
